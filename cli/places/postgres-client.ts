/** Clients of PostgreSQL for the command line. The package is an optional one. */
import type { Sql } from "postgres";
import { CliFailure } from "../failure.ts";
import { dependencyVersion } from "../package-root.ts";

/** The runtime package of a store is an optional one. */
export const missingPackage = (name: string, cause: unknown): CliFailure =>
  new CliFailure(`this store needs the package ${name}: npm install ${name}@${dependencyVersion(name)}`, { cause });

/**
 * @param called how messages call the database
 * @throws CliFailure for what is no address, which may be a password that was put in the wrong place: it is not shown
 */
export const openPostgresClient = async (called: string, address: string, max: number): Promise<Sql> => {
  const { default: postgres } = await import("postgres").catch((cause: unknown) => {
    throw missingPackage("postgres", cause);
  });
  const refused = new CliFailure(
    `${called}: the address of the database must be postgres://user:password@host/database`,
  );
  if (!/^postgres(ql)?:\/\//i.test(address)) throw refused;
  try {
    return postgres(address, { max, onnotice: () => undefined, connect_timeout: 10 });
  } catch {
    throw refused;
  }
};
