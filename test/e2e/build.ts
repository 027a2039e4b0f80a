/** What these tests start is the build, so it is made first: yesterday's would prove nothing. */
import { execFileSync } from "node:child_process";

const buildOnce = (): void => {
  execFileSync(process.execPath, ["build.ts"], { stdio: "inherit" });
};

export default buildOnce;
