/** Valid configurations as a person could write them, for property tests. */
import * as fc from "fast-check";
import type { DslInput } from "../../src/config/index.ts";
import { guardrailActions } from "../../src/experiment.ts";
import { envelopeTypes } from "../../src/events/envelope.ts";
import { changeKinds } from "../../src/governance/events.ts";
import { noticeKinds, personalChoices } from "../../src/notices/notice.ts";
import { whenApprovedChoices } from "../../src/governance/gates/schema.ts";
import { onMissingChoices } from "../../src/governance/policies/schema.ts";
import { lifecycleStates, pauseModes } from "../../src/lifecycle.ts";

const name = fc
  .stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/)
  .filter((text) => text !== "__proto__" && text.length <= 128);
const distinctNames = fc.uniqueArray(name, { maxLength: 4 });
const duration = fc.constantFrom("30m", "1d", "00:30:00", "PT30M", "1.5h", "500ms", "P1DT2H");
const anyCase = (word: string): fc.Arbitrary<string> => fc.constantFrom(word, word.toLowerCase(), word.toUpperCase());
const target = fc
  .constantFrom(...lifecycleStates.filter((state) => state !== "Paused" && state !== "RolledBack"))
  .chain(anyCase);
const state = fc.constantFrom(...lifecycleStates).chain(anyCase);

/** Text of every kind that can be stored: YAML's own characters, quotes, astral characters, lines, references. */
const text = fc
  .oneof(
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.string({
      unit: fc.constantFrom(...Array.from(" \t\n:#-'\"[]{}&*!|>%@`,?~$\\\r\u0085\u2028é💡")),
      maxLength: 12,
    }),
    fc.constantFrom(
      "null",
      "true",
      "no",
      "1",
      "0x1F",
      "1e3",
      ".inf",
      "~",
      "",
      "- a",
      "a: b",
      "${A}",
      "$${A}",
      "<<",
      "---",
    ),
  )
  .filter((value) => value.isWellFormed() && !value.includes("\u0000"));
const prose = text.filter((value) => value.length <= 128);
const printable = fc.stringMatching(/^[a-zA-Z0-9 .:/%'"#{}$é-]{1,20}$/).filter((key) => key !== "__proto__");

const payload = fc
  .jsonValue({ maxDepth: 3, noUnicodeString: false })
  .filter((value) => !/\\u0000|\\ud[89a-f]|__proto__/i.test(JSON.stringify(value)));

/** Member names that valibot would drop without a word are refused. */
const memberName = prose.filter((key) => !["__proto__", "constructor", "prototype"].includes(key));

const roles = fc.uniqueArray(name, { minLength: 1, maxLength: 3 });
const actorKinds = fc.uniqueArray(fc.constantFrom("human", "service", "agent"), { minLength: 1, maxLength: 3 });
const agreement = { fourEyes: fc.boolean(), expiresAfter: duration, actorKinds, roles };

const whenApproved = fc.constantFrom(...whenApprovedChoices);
const word = prose.filter((value) => value !== "");

/** A gate on a move says where to; one on what stays in its state does not. */
const place = fc.oneof(
  fc.record({ from: state, on: fc.constant("transition" as const), to: target }, { requiredKeys: ["to"] }),
  fc.record({ from: state, on: fc.constantFrom("publish", "rollback", "rampStep") }, { requiredKeys: ["on"] }),
);

/** No automatic gates: beside a stricter one they are an error, and that rule has tests of its own. */
const gate = fc
  .tuple(
    place,
    fc.oneof(
      fc.record({ type: fc.constant("manual" as const), name, ...agreement, whenApproved }, { requiredKeys: ["type"] }),
      fc.record(
        { type: fc.constant("roleBased" as const), name, allowedRoles: roles },
        { requiredKeys: ["type", "allowedRoles"] },
      ),
      fc.record(
        {
          type: fc.constant("quorum" as const),
          name,
          ...agreement,
          whenApproved,
          count: fc.integer({ min: 1, max: 20 }),
          distinctTeams: fc.boolean(),
        },
        { requiredKeys: ["type", "count"] },
      ),
      fc.record(
        {
          type: fc.constant("custom" as const),
          name,
          gate: name,
          version: word.filter((value) => value.length <= 64),
          parameters: fc.dictionary(name, fc.oneof(prose, fc.integer(), fc.boolean()), { maxKeys: 3 }),
          timeLimit: fc.constantFrom("1s", "500ms", "PT10S", "10s"),
        },
        { requiredKeys: ["type", "gate"] },
      ),
    ),
  )
  .map(([where, who]) => ({ ...who, ...where }));

const common = {
  severity: fc.constantFrom("Critical" as const, "Error" as const, "Warning" as const),
  to: fc.uniqueArray(target, { minLength: 1, maxLength: 2 }),
  on: fc.uniqueArray(fc.constantFrom(...changeKinds), { minLength: 1 }),
};
const missing = { onMissing: fc.constantFrom(...onMissingChoices) };
const clock = fc
  .tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }))
  .map(([hour, minute]) => `${String(hour).padStart(2, "0")}:${String(minute).padStart(2, "0")}`);
const share = fc.double({ min: 0, max: 1, noNaN: true }).map((value) => value + 0);

const policy = fc.oneof(
  fc.record(
    {
      type: fc.constant("trafficLimit" as const),
      ...common,
      maxTrafficPercentage: fc.integer({ min: 0, max: 100 }),
      minStableTime: duration,
    },
    { requiredKeys: ["type", "maxTrafficPercentage"] },
  ),
  fc.record(
    {
      type: fc.constant("errorRate" as const),
      ...common,
      maxErrorRate: share,
      ...missing,
    },
    { requiredKeys: ["type", "maxErrorRate"] },
  ),
  fc.record(
    {
      type: fc.constant("timeWindow" as const),
      ...common,
      allowedStartTime: clock,
      allowedEndTime: clock,
      timeZone: fc.constantFrom("UTC", "Europe/Paris", "America/New_York"),
      days: fc.uniqueArray(fc.constantFrom("monday", "Friday", "SUNDAY"), { minLength: 1 }),
    },
    { requiredKeys: ["type", "allowedStartTime", "allowedEndTime"] },
  ),
  fc.record(
    {
      type: fc.constant("conflictPrevention" as const),
      ...common,
      conflictingExperiments: fc.uniqueArray(name, { minLength: 1, maxLength: 3 }),
    },
    { requiredKeys: ["type", "conflictingExperiments"] },
  ),
  fc.record(
    {
      type: fc.constant("minimumSample" as const),
      ...common,
      ...missing,
      minSubjects: fc.integer({ min: 1 }),
      perVariant: fc.boolean(),
    },
    { requiredKeys: ["type", "minSubjects"] },
  ),
  fc.record({ type: fc.constant("sampleRatio" as const), ...common, ...missing }, { requiredKeys: ["type"] }),
  fc.record(
    { type: fc.constant("maxDuration" as const), ...common, maxDuration: duration },
    { requiredKeys: ["type", "maxDuration"] },
  ),
  fc.record(
    {
      type: fc.constant("requireFields" as const),
      ...common,
      fields: fc.uniqueArray(fc.constantFrom("owner", "labels.team", "/labels/a~1b", "metrics.0.name", "/ramp"), {
        minLength: 1,
      }),
    },
    { requiredKeys: ["type", "fields"] },
  ),
  fc.record(
    {
      type: fc.constant("expression" as const),
      ...common,
      ...missing,
      expression: fc.constantFrom(
        "true",
        "telemetry.exposed >= 1000 && !('a' in actor.roles)",
        'running.all(r, r.name != "a: b")',
        "// a comment\nchange.trafficAfter <= 50.0",
      ),
      message: prose.filter((value) => value !== ""),
    },
    { requiredKeys: ["type", "expression"] },
  ),
  fc.record(
    {
      type: fc.constant("custom" as const),
      ...common,
      function: name,
      version: prose.filter((value) => value !== ""),
      // `<<` with a mapping is YAML's merge key, which the printer of these tests does not quote.
      parameters: fc.dictionary(
        memberName.filter((key) => key !== "<<"),
        payload,
        { maxKeys: 3 },
      ),
      timeLimit: fc.constantFrom("1s", "500ms", "PT10S", "10s"),
    },
    { requiredKeys: ["type", "function"] },
  ),
);

const clause = fc.oneof(
  fc.record({ attribute: prose.filter((value) => value !== ""), equals: fc.oneof(prose, fc.integer(), fc.boolean()) }),
  fc.record({ attribute: name, in: fc.array(prose, { minLength: 1, maxLength: 3 }) }),
  fc.record({ attribute: name, exists: fc.boolean() }),
  fc.record({ attribute: name, versionLessThan: fc.constantFrom("1.2.3", "2.0", "1.10") }),
);
const targeting = fc.oneof(
  clause,
  fc.record({ all: fc.array(clause, { minLength: 1, maxLength: 3 }) }),
  fc.record({ not: fc.record({ any: fc.array(clause, { minLength: 1, maxLength: 2 }) }) }),
);

const variants = fc.uniqueArray(printable, { minLength: 2, maxLength: 4 }).chain((keys) =>
  fc.tuple(
    ...keys.map((key, index) =>
      fc.record(
        {
          key: fc.constant(key),
          weight: fc.integer({ min: 1, max: 9 }),
          payload,
          ...(index === 0 ? { control: fc.constant(true) } : {}),
        },
        { requiredKeys: index === 0 ? ["key", "control"] : ["key"] },
      ),
    ),
  ),
);

const ramp = fc.record({
  steps: fc
    .uniqueArray(fc.integer({ min: 0, max: 10_000 }), { minLength: 1, maxLength: 4 })
    .chain((steps) =>
      fc.tuple(
        ...steps
          .toSorted((a, b) => a - b)
          .map((step) =>
            fc.record({ traffic: fc.constant(step / 100), hold: duration }, { requiredKeys: ["traffic"] }),
          ),
      ),
    ),
});

/** Binary, as all metrics here are: a guardrail on another kind than its metric has is an error. */
const watched = {
  metric: fc.oneof(name, fc.constant("error")),
  kind: fc.constant("binary" as const),
  minimumSample: fc.integer({ min: 1 }),
  onViolation: fc.constantFrom(...guardrailActions),
  onMissing: fc.constantFrom(...onMissingChoices),
};
const guardrail = fc.oneof(
  fc.record({ ...watched, maximum: share }, { requiredKeys: ["metric", "maximum"] }),
  fc.record(
    { ...watched, maximumIncrease: share, relative: fc.boolean() },
    { requiredKeys: ["metric", "maximumIncrease"] },
  ),
);

const instant = (from: string, to: string) =>
  fc
    .date({ min: new Date(from), max: new Date(to), noInvalidDate: true })
    .chain((date) => fc.constantFrom(date.toISOString(), `${date.toISOString().slice(0, 19)}+02:00`));
const start = instant("2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z");
const end = instant("2027-01-02T00:00:00Z", "2027-12-31T00:00:00Z");
const schedule = fc.oneof(
  fc.record({ start }),
  fc.record({ end, mode: fc.constantFrom(...pauseModes) }, { requiredKeys: ["end"] }),
  fc.record({ start, end }),
);

const window = fc.oneof(
  fc.record({ from: fc.constantFrom("0s", "1h"), to: fc.constantFrom("2h", "P7D") }, { requiredKeys: [] }),
  fc.constant({ open: true as const }),
  fc.constant({ before: "14d" }),
);
/** Of one kind each; a guardrail on another kind than its metric has is an error, so those have binary ones beside them. */
const metricDetails = fc.oneof(
  fc.record({ kind: fc.constant("binary" as const), window }, { requiredKeys: ["kind"] }),
  fc.record({ kind: fc.constant("binary" as const), minimumDetectableEffect: fc.constantFrom(0.01, 5) }),
);
const measures = distinctNames.chain((names) =>
  fc.array(metricDetails, { minLength: names.length, maxLength: names.length }).map((details) =>
    names.flatMap((metric, index) => {
      const detail = details[index];
      return detail === undefined ? [] : [{ ...detail, name: metric }];
    }),
  ),
);

const dimensions = distinctNames.chain((names) =>
  fc
    .array(
      fc.uniqueArray(
        prose.filter((value) => value !== "" && !value.startsWith("(") && value.length <= 64),
        { minLength: 1, maxLength: 3 },
      ),
      {
        minLength: names.length,
        maxLength: names.length,
      },
    )
    .map((values) => names.map((attribute, index) => ({ attribute, values: values[index] ?? ["a"] }))),
);

const plan = fc.record(
  {
    hypothesis: prose,
    primary: name,
    effect: fc.constantFrom(0.01, 2),
    alpha: fc.constantFrom(0.01, 0.05),
    sample: fc.integer({ min: 1, max: 1e9 }),
    looks: fc.integer({ min: 1, max: 100 }),
    end: fc.constantFrom("2026-12-15", "2026-12-15T09:00:00Z"),
  },
  { requiredKeys: [] },
);

const experiment = fc.record(
  {
    name,
    description: text,
    owner: prose,
    labels: fc.dictionary(memberName, prose, { maxKeys: 3 }),
    subject: name,
    salt: prose.filter((value) => value !== ""),
    variants,
    traffic: fc.integer({ min: 0, max: 10_000 }).map((value) => value / 100),
    targeting,
    surfaces: distinctNames,
    exclusion: fc.record({ group: name }),
    metrics: measures,
    dimensions,
    plan,
    ramp,
    guardrails: fc.array(guardrail, { maxLength: 2 }),
    autoStop: fc.array(
      fc.record(
        { signal: fc.constant("SampleRatioMismatch" as const), action: fc.constantFrom(...guardrailActions) },
        { requiredKeys: ["signal"] },
      ),
      { maxLength: 2 },
    ),
    schedule,
  },
  { requiredKeys: ["name", "variants"] },
);

const single = fc.oneof(
  fc.oneof(
    fc.record(
      {
        type: fc.constantFrom("postgres", "sql").chain(anyCase),
        connectionString: fc.constantFrom("postgres://app:p%40ss@db.example.com:6432/app", "postgresql://localhost/a"),
        schema: fc.constantFrom("proviso", "experiments_1"),
      },
      { requiredKeys: ["type", "connectionString"] },
    ),
    fc.record({ type: anyCase("postgres"), secret: fc.constant("DATABASE_URL") }),
    fc.record({ type: anyCase("postgres"), hyperdrive: fc.constant("HYPERDRIVE") }),
  ),
  fc.record(
    {
      type: fc.constantFrom("memory", "inMemory", "d1", "sql").chain(anyCase),
      database: fc.constantFrom("DB", "OTHER_1"),
    },
    { requiredKeys: [] },
  ),
  fc.record(
    {
      type: anyCase("custom"),
      name,
      parameters: fc.dictionary(
        memberName.filter((key) => key !== "<<"),
        payload,
        { maxKeys: 3 },
      ),
    },
    { requiredKeys: ["type", "name"] },
  ),
);

const persistence = fc.oneof(
  { weight: 4, arbitrary: single },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        type: anyCase("mirror"),
        primary: fc.constant({ type: "d1", database: "PRIMARY" }),
        followers: fc.uniqueArray(
          fc.constantFrom(
            { type: "postgres", secret: "A" },
            { type: "sql", hyperdrive: "B" },
            { type: "custom", name: "c" },
          ),
          { minLength: 1 },
        ),
        mode: fc.constantFrom("writeThrough" as const, "writeBehind" as const),
        reads: fc.constantFrom("primary" as const, "follower" as const),
      },
      { requiredKeys: ["type", "primary", "followers"] },
    ),
  },
);

const claim = fc.constantFrom("sub", "email", "https://example.com/roles", "/realm_access/roles");
const claims = fc.record(
  {
    actor: claim,
    roles: fc.uniqueArray(claim, { minLength: 1 }),
    roleMap: fc.dictionary(name, fc.uniqueArray(name, { maxLength: 3 }), { maxKeys: 3 }),
    tenant: claim,
    environment: claim,
    kind: claim,
    kindMap: fc.dictionary(name, fc.constantFrom("human" as const, "service" as const, "agent" as const), {
      maxKeys: 3,
    }),
    service: claim,
  },
  { requiredKeys: ["kind"] },
);
const signed = {
  audience: fc.oneof(name, fc.uniqueArray(name, { minLength: 1, maxLength: 3 })),
  clockSkew: fc.constantFrom("0s", "60s", "5m"),
  claims,
  secret: fc.constantFrom("PROVISO_TOKENS", "TOKENS"),
  header: fc.constantFrom("authorization" as const, "cf-access-jwt-assertion" as const),
};
const auth = fc.oneof(
  fc.record({
    type: fc.constantFrom("development" as const, "token" as const),
    secret: fc.constantFrom("PROVISO_TOKENS", "TOKENS"),
  }),
  fc.record(
    {
      type: fc.constant("jwt" as const),
      issuer: name,
      jwks: fc.constantFrom("https://id.example.com/keys", "http://127.0.0.1:1/keys"),
      algorithms: fc.uniqueArray(fc.constantFrom("RS256" as const, "ES512" as const, "EdDSA" as const), {
        minLength: 1,
      }),
      ...signed,
    },
    { requiredKeys: ["type", "issuer", "jwks", "audience"] },
  ),
  fc.record(
    { type: fc.constant("cloudflareAccess" as const), team: fc.constantFrom("example", "a-1"), ...signed },
    { requiredKeys: ["type", "team", "audience"] },
  ),
);
const rate = fc.record({
  perMinute: fc.integer({ min: 1, max: 10_000_000 }),
  burst: fc.integer({ min: 1, max: 1_000_000 }),
});

const personal = fc.constantFrom(...personalChoices);
const ofNotices = {
  kinds: fc.uniqueArray(fc.constantFrom(...noticeKinds), { minLength: 1 }),
  tenants: fc.uniqueArray(name, { minLength: 1, maxLength: 3 }),
  environments: fc.uniqueArray(name, { minLength: 1, maxLength: 3 }),
  experiments: fc.uniqueArray(name, { minLength: 1, maxLength: 3 }),
  personal,
  link: fc.constantFrom("https://console.example/{tenant}/{experiment}", "https://console.example/?e={environment}"),
  maxAge: fc.constantFrom("1m", "30d", "PT12H"),
  timeLimit: fc.constantFrom("100ms", "5s"),
};
const secretName = fc.constantFrom("WEBHOOK_SECRET", "SECRET_2");
const address = fc.constantFrom("https://example.com/hook?a=1", "http://127.0.0.1:9999/hook");
const notice = fc.oneof(
  fc.record(
    { type: fc.constant("webhook" as const), name, url: address, secret: secretName, ...ofNotices },
    { requiredKeys: ["type", "name", "url", "secret"] },
  ),
  fc.record(
    { type: fc.constant("slack" as const), name, urlSecret: secretName, ...ofNotices },
    { requiredKeys: ["type", "name", "urlSecret"] },
  ),
);
const auditSink = fc.oneof(
  fc.record({ type: fc.constant("log" as const), name, personal }, { requiredKeys: ["type", "name"] }),
  fc.record(
    {
      type: fc.constant("webhook" as const),
      name,
      url: address,
      secret: secretName,
      authorizationSecret: secretName,
      personal,
      timeLimit: fc.constantFrom("1s", "30s"),
    },
    { requiredKeys: ["type", "name", "url", "secret"] },
  ),
  fc.record(
    { type: fc.constant("queue" as const), name, queue: fc.constantFrom("AUDIT", "AUDIT_2"), personal },
    { requiredKeys: ["type", "name", "queue"] },
  ),
);
const ofSinks = {
  name,
  types: fc.uniqueArray(fc.constantFrom(...envelopeTypes), { minLength: 1 }),
  timeLimit: fc.constantFrom("100ms", "5s", "PT30S"),
};
const eventSink = fc.oneof(
  fc.record(
    { type: fc.constantFrom("log" as const), ...ofSinks, required: fc.boolean() },
    { requiredKeys: ["type", "name"] },
  ),
  fc.record(
    { type: fc.constant("queue" as const), ...ofSinks, queue: fc.constantFrom("EXPORT", "EXPORT_2") },
    { requiredKeys: ["type", "name", "queue"] },
  ),
  fc.record(
    { type: fc.constant("http" as const), ...ofSinks, url: address, authorizationSecret: secretName },
    { requiredKeys: ["type", "name", "url"] },
  ),
  fc.record(
    { type: fc.constant("openTelemetry" as const), ...ofSinks, url: address, service: name, evaluations: fc.boolean() },
    { requiredKeys: ["type", "name", "url"] },
  ),
  fc.record(
    { type: fc.constant("analyticsEngine" as const), ...ofSinks, dataset: fc.constant("EXPERIMENT_EVENTS") },
    { requiredKeys: ["type", "name", "dataset"] },
  ),
  fc.record(
    {
      type: fc.constantFrom("r2" as const, "parquet" as const),
      ...ofSinks,
      bucket: fc.constant("ARCHIVE"),
      prefix: fc.constantFrom("", "events", "lake/a"),
      required: fc.boolean(),
    },
    { requiredKeys: ["type", "name", "bucket"] },
  ),
  fc.record(
    { type: fc.constant("kafka" as const), ...ofSinks, url: address, topic: fc.constantFrom("a.b", "events_1") },
    { requiredKeys: ["type", "name", "url", "topic"] },
  ),
);
const byNoticeName = { selector: (one: { readonly name: string }) => one.name, maxLength: 3 };
const telemetry = fc.record(
  {
    metrics: fc.constantFrom("off" as const, "operators" as const, "public" as const),
    traces: fc.record(
      { url: address, authorizationSecret: secretName, service: name, sampling: share },
      { requiredKeys: ["url"] },
    ),
  },
  { requiredKeys: [] },
);

const rules = {
  approvalGates: fc.array(gate, { maxLength: 4 }),
  policies: fc
    .array(policy, { maxLength: 4 })
    .map((policies) => policies.map((one, index) => ({ ...one, name: `policy-${index}` }))),
  breakGlass: fc.record({ roles }),
  guardrailInterval: fc.constantFrom("1s", "60s", "PT5M", "1h"),
};

/** What decides about changes, as both a file and `createGovernance` take it. */
export const ruleInputs = fc.record(rules, { requiredKeys: [] });

const governance = fc.record(
  {
    notices: fc.uniqueArray(notice, byNoticeName),
    audit: fc.uniqueArray(auditSink, byNoticeName),
    telemetry,
    persistence,
    ...rules,
    enableAutoVersioning: fc.boolean(),
    optimisticConcurrency: fc.constant(true as const),
    retainHistory: fc.constant(true as const),
    auth,
    history: fc.record(
      {
        signing: fc.record(
          { secret: fc.constantFrom("PROVISO_SIGNING_KEY", "A"), keyId: fc.constantFrom("2026-11", "k") },
          { requiredKeys: ["secret"] },
        ),
      },
      { requiredKeys: [] },
    ),
    cors: fc.record(
      {
        origins: fc.uniqueArray(
          fc.constantFrom("https://console.example.com", "http://127.0.0.1:8787", "https://[2001:db8::1]"),
        ),
        credentials: fc.boolean(),
        maxAge: fc.constantFrom("10m", "1d", "PT5S"),
      },
      { requiredKeys: ["origins"] },
    ),
    rateLimits: fc.record({ governance: rate, dataPlane: rate, failures: rate }, { requiredKeys: [] }),
    requireIfMatch: fc.boolean(),
    requireIdempotencyKey: fc.boolean(),
  },
  { requiredKeys: [] },
);

const dataPlane = fc.record(
  {
    batching: fc.record(
      {
        maxEvents: fc.integer({ min: 1, max: 1000 }),
        maxBytes: fc.integer({ min: 32_768, max: 8_388_608 }),
        interval: fc.constantFrom("1s", "500ms", "1h", "PT5S"),
      },
      { requiredKeys: [] },
    ),
    sampling: fc.record({ rate: share }, { requiredKeys: [] }),
    events: fc.record(
      {
        exposures: fc.boolean(),
        outcomes: fc.boolean(),
        assignments: fc.boolean(),
        errors: fc.boolean(),
        signals: fc.boolean(),
      },
      { requiredKeys: [] },
    ),
    ledger: fc.record({ shards: fc.constantFrom(1, 2, 16, 256) }, { requiredKeys: [] }),
    sinks: fc.uniqueArray(eventSink, byNoticeName),
  },
  { requiredKeys: [] },
);

/** Each has surfaces and a group of its own: two at the same time on one surface, or too many in a group, are errors. */
const experiments = fc.uniqueArray(experiment, { maxLength: 3, selector: (one) => one.name }).map((list) =>
  list.map((one, index) => ({
    ...one,
    ...(one.surfaces && { surfaces: one.surfaces.map((surface) => `${surface}-${index}`) }),
    ...(one.exclusion && { exclusion: { group: `${index}-${one.exclusion.group}`.slice(0, 128) } }),
  })),
);

/** In a file `${` begins a reference, so a text that holds it must be escaped. Keys are not looked into. */
export const escaped = (value: unknown): unknown => {
  if (typeof value === "string") return value.replaceAll("${", () => "$${");
  if (Array.isArray(value)) return value.map(escaped);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, escaped(entry)]));
};

export const dslInputs: fc.Arbitrary<DslInput> = fc.record(
  { governance, dataPlane, experiments },
  { requiredKeys: [] },
);
