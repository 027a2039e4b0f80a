import { logAudit } from "../../../adapters/audit/log.ts";
import { auditSuite } from "../../conformance/audit.suite.ts";

auditSuite("log", () => {
  const lines: string[] = [];
  let failures = 0;
  const sink = logAudit({
    write(line) {
      if (failures > 0) {
        failures -= 1;
        throw new Error("the pipe is closed");
      }
      if (/[\n\r]/.test(line) || Buffer.byteLength(line) > 16_000) throw new Error("this is not one line");
      lines.push(line);
    },
  });
  return {
    sink,
    received: () => lines.map((line): unknown => JSON.parse(line)),
    failNext: (times) => void (failures = times),
  };
});
