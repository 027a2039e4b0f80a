declare namespace Cloudflare {
  /** The bindings of the `worker` project in vitest.config.ts. */
  interface Env {
    DB: D1Database;
    /** Empty: where histories are moved to. */
    SECOND: D1Database;
    HYPERDRIVE: Hyperdrive;
  }
}

/** Vite's way to import a file as text. */
declare module "*?raw" {
  const text: string;
  export default text;
}
