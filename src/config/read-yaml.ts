/** Reads YAML or JSON text into plain values, and remembers where each of them stands. */
import { isAlias, isMap, isScalar, isSeq, type Pair, parseDocument, Scalar } from "yaml";
import { byteLength } from "../canonical.ts";
import { limits } from "../limits.ts";
import { withoutCredentials } from "./credentials.ts";
import {
  describeValue,
  isStorable,
  quote,
  storableText,
  type Finding,
  type Reading,
  type Spotlight,
} from "./finding.ts";
import { coreScalar, interpolate, type Environment } from "./interpolate.ts";
import { linesOf, type Place } from "./lines.ts";
import { nearest } from "./nearest.ts";
import { type Path, pointer } from "./path.ts";
import { syntaxFindings } from "./yaml-syntax.ts";

/** Where one value stands. The tree of these has the shape of the value. */
interface Spot {
  readonly offset: number;
  /** What is shown for it; for an interpolated text its source, `${NAME}` and all. */
  readonly shown: string;
  readonly secret: boolean;
  readonly members: ReadonlyMap<string | number, { readonly keyOffset: number; readonly spot: Spot }>;
}

interface Node {
  readonly value: unknown;
  readonly spot: Spot;
}

export interface YamlReading extends Reading {
  /** Line and column of a finding. What is missing stands where the mapping begins that misses it. */
  readonly place: (finding: Pick<Finding, "path" | "at" | "offset">) => Place;
}

/** Where the reader writes down what it cannot read. */
interface Notes {
  readonly refuse: (finding: Omit<Finding, "at"> & { readonly at?: Spotlight }) => void;
  /** Unreadable for a reason that was already given elsewhere. */
  readonly skip: (path: Path) => void;
}

const noMembers: Spot["members"] = new Map();

const integerLiteral = /^([-+]?)0*(\d+)$/;

/** A whole number that is read as another one: an id of 19 digits would come out as its neighbour, silently. */
const isInexact = (source: string, value: number): boolean => {
  const [, sign, digits] = integerLiteral.exec(source) ?? [];
  return (
    digits !== undefined && !Number.isSafeInteger(value) && String(value) !== `${sign === "-" ? "-" : ""}${digits}`
  );
};

const leaf = (offset: number, value: unknown, shown = describeValue(value), secret = false): Node => ({
  value,
  spot: { offset, shown, secret, members: noMembers },
});

/** The nodes of one document to values, in document order: an anchor is known from where it stands. */
const reader = (environment: Environment, { refuse, skip }: Notes) => {
  const anchors = new Map<string, unknown>();
  const open = new Set<unknown>();
  let aliases = 0;
  let aliasDepth = 0;
  let aliasedValues = 0;
  let expandedCharacters = 0;

  const readText = (node: Scalar, written: string, path: Path, offset: number): Node => {
    const { text, expanded, whole, unset, malformed } = interpolate(written, environment);
    for (const name of unset) {
      const found = `\${${name}}`;
      const allowed = `a value for ${name} in the environment, or a default as in \${${name}:-value}`;
      refuse({ path, offset, found, what: `${found} is not set`, allowed });
    }
    for (const reference of malformed) {
      const allowed = "${NAME} or ${NAME:-default}, and $${ for the two characters ${";
      refuse({ path, offset, found: quote(reference), allowed });
    }
    if (!isStorable(text)) {
      refuse({ path, offset, found: quote(written), allowed: storableText });
      return leaf(offset, "", quote(written), expanded);
    }
    if (!expanded) return leaf(offset, text, quote(written));
    expandedCharacters += text.length;
    if (expandedCharacters > limits.dslBytes) {
      refuse({
        path,
        offset,
        found: quote(written),
        allowed: `at most ${limits.dslBytes} characters from the environment`,
      });
      return leaf(offset, "", quote(written), true);
    }
    return leaf(offset, whole && node.type === Scalar.PLAIN ? coreScalar(text) : text, quote(written), true);
  };

  const readScalar = (node: Scalar, path: Path, offset: number): Node => {
    const { value } = node;
    if (typeof value === "string") return readText(node, value, path, offset);
    if (typeof value !== "number") return leaf(offset, typeof value === "boolean" ? value : null);
    const source = node.source ?? String(value);
    const found = quote(source).slice(1, -1);
    if (!Number.isFinite(value)) {
      refuse({ path, offset, found, allowed: "a finite number" });
      return leaf(offset, null, found);
    }
    if (isInexact(source, value))
      refuse({ path, offset, found, allowed: "a number that can be kept exactly; in quotes it is kept as text" });
    // JSON has no -0, and a digest could not tell it from 0.
    return leaf(offset, value === 0 ? 0 : value, found);
  };

  const readAlias = (name: string, path: Path, offset: number): Node => {
    aliases += 1;
    const what = `found the alias ${quote(`*${name}`)}`;
    const found = quote(`*${name}`);
    const target = anchors.get(name);
    if (aliases > limits.dslAliases) {
      if (aliases > limits.dslAliases + 1) skip(path);
      else refuse({ path, offset, found, what, allowed: `at most ${limits.dslAliases} aliases` });
    } else if (target === undefined) {
      const known = [...anchors.keys()];
      const near = nearest(name, known);
      const suggestion = near === undefined ? undefined : { text: `*${near}`, quoted: true };
      refuse({ path, offset, found, what, allowed: "the name of an anchor above", suggestion });
    } else if (open.has(target)) {
      refuse({ path, offset, found, what, allowed: "an alias outside of what it stands for" });
    } else {
      aliasDepth += 1;
      const node = read(target, path, offset);
      aliasDepth -= 1;
      return node;
    }
    return leaf(offset, null, found);
  };

  const keyOf = (pair: Pair, path: Path, seen: ReadonlyMap<string, unknown>): string | undefined => {
    const { key } = pair;
    // The parser has refused every key that is not a text; this keeps the types honest.
    if (!isScalar(key) || typeof key.value !== "string") return undefined;
    const name = key.value;
    const offset = key.range?.[0] ?? 0;
    const here = { path: [...path, name], at: "key", offset, found: quote(name) } as const;
    if (key.anchor !== undefined) anchors.set(key.anchor, key);
    if (key.tag !== undefined) refuse({ ...here, found: quote(key.tag), allowed: "a key without a tag" });
    else if (name === "<<" && key.type === Scalar.PLAIN && !isScalar(pair.value))
      refuse({ ...here, what: 'found the merge key "<<"', allowed: "keys written out" });
    else if (name === "__proto__") refuse({ ...here, allowed: "a key other than __proto__" });
    else if (!isStorable(name)) refuse({ ...here, allowed: storableText });
    else if (seen.has(name)) refuse({ ...here, what: `found the key ${quote(name)} again`, allowed: "each key once" });
    else return name;
    return undefined;
  };

  const readMapping = (pairs: readonly Pair[], path: Path, offset: number): Node => {
    const value: Record<string, unknown> = {};
    const members = new Map<string, { keyOffset: number; spot: Spot }>();
    for (const pair of pairs) {
      const key = keyOf(pair, path, members);
      if (key === undefined) continue;
      const keyOffset = isScalar(pair.key) ? (pair.key.range?.[0] ?? offset) : offset;
      const node = read(pair.value, [...path, key], keyOffset);
      value[key] = node.value;
      members.set(key, { keyOffset, spot: node.spot });
    }
    return { value, spot: { offset, shown: "a mapping", secret: false, members } };
  };

  const readList = (list: readonly unknown[], path: Path, offset: number): Node => {
    const nodes = list.map((item, index) => read(item, [...path, index], offset));
    const members = new Map(nodes.map(({ spot }, index) => [index, { keyOffset: spot.offset, spot }]));
    const value = nodes.map((node) => node.value);
    return { value, spot: { offset, shown: describeValue(value), secret: false, members } };
  };

  const read = (node: unknown, path: Path, keyOffset: number): Node => {
    if (isAlias(node)) return readAlias(node.source, path, node.range?.[0] ?? keyOffset);
    if (!isScalar(node) && !isMap(node) && !isSeq(node)) return leaf(keyOffset, null);
    // An empty value has no place of its own: its key is what a person looks for.
    const offset = isScalar(node) && node.source === "" ? keyOffset : (node.range?.[0] ?? keyOffset);
    if (aliasDepth > 0) {
      aliasedValues += 1;
      if (aliasedValues > limits.dslAliasedValues) {
        if (aliasedValues > limits.dslAliasedValues + 1) skip(path);
        else refuse({ path, offset, allowed: `at most ${limits.dslAliasedValues} values by way of aliases` });
        return leaf(offset, null);
      }
    }
    if (node.anchor !== undefined) anchors.set(node.anchor, node);
    if (node.tag !== undefined) {
      const found = quote(node.tag.replace(/^tag:yaml\.org,2002:/, "!!"));
      refuse({ path, offset, found, what: `found the tag ${found}`, allowed: "no tags; quotes make a value a text" });
      return leaf(offset, null, found);
    }
    if (path.length > limits.dslDepth) {
      refuse({ path, offset, allowed: `at most ${limits.dslDepth} levels of lists and mappings` });
      return leaf(offset, null, isMap(node) ? "a mapping" : isSeq(node) ? "a list" : "a value");
    }
    if (isScalar(node)) return readScalar(node, path, offset);
    open.add(node);
    const result = isMap(node) ? readMapping(node.items, path, offset) : readList(node.items, path, offset);
    open.delete(node);
    return result;
  };

  return read;
};

const spotAt = (root: Spot, path: Path): { spot: Spot; keyOffset: number } | undefined => {
  let found = { spot: root, keyOffset: root.offset };
  for (const segment of path) {
    const next = found.spot.members.get(segment);
    if (next === undefined) return undefined;
    found = next;
  }
  return found;
};

/** The spot of a path, or of the nearest thing around it that exists. */
const nearestSpot = (root: Spot, path: Path): { spot: Spot; keyOffset: number; exact: boolean } => {
  for (let length = path.length; length >= 0; length -= 1) {
    const found = spotAt(root, path.slice(0, length));
    if (found !== undefined) return { ...found, exact: length === path.length };
  }
  return { spot: root, keyOffset: root.offset, exact: false };
};

/**
 * Reads a document. Nothing in it is evaluated: tags, merge keys, foreign directives and a second document are
 * refused, aliases are counted, and environment values become scalars, never structure.
 */
export const readYaml = (source: string, environment: Environment): YamlReading => {
  const text = source.startsWith("\uFEFF") ? source.slice(1) : source;
  const placeOf = linesOf(text);
  const findings: Finding[] = [];
  const unreadable = new Set<string>();
  const skip: Notes["skip"] = (path) => unreadable.add(pointer(path));
  const refuse: Notes["refuse"] = (finding) => {
    findings.push({ at: "value", ...finding });
    // A refused key leaves the value of its first namesake standing, and that one is still to be judged.
    if (finding.at !== "key") skip(finding.path);
  };
  const result = (value: unknown, root: Spot): YamlReading =>
    withoutCredentials({
      value,
      findings,
      unreadable,
      isFile: true,
      describe: (path) => spotAt(root, path)?.spot.shown ?? "nothing",
      isSecret: (path) => spotAt(root, path)?.spot.secret ?? false,
      place: ({ path, at, offset }) => {
        const near = nearestSpot(root, path);
        return placeOf(offset ?? (near.exact && at === "key" ? near.keyOffset : near.spot.offset));
      },
    });
  const nothing: Spot = { offset: 0, shown: "nothing", secret: false, members: noMembers };

  const bytes = byteLength(text);
  if (bytes > limits.dslBytes) {
    refuse({ path: [], offset: 0, found: `${bytes} bytes`, allowed: `at most ${limits.dslBytes} bytes` });
    return result(undefined, nothing);
  }
  const document = parseDocument(text, {
    version: "1.2",
    schema: "core",
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    // Its own check compares each key with every other; `keyOf` looks into a map.
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: "error",
  });
  for (const finding of syntaxFindings(text, document, (offset) => placeOf(offset).line)) refuse(finding);
  if (document.directives?.yaml.version !== "1.2") {
    const version = document.directives?.yaml.version ?? "";
    refuse({ path: [], offset: 0, found: `YAML ${version}`, allowed: "YAML 1.2, where no and off are texts" });
  }
  if (findings.length > 0) return result(undefined, nothing);
  if (document.contents === null) {
    refuse({
      path: [],
      offset: 0,
      what: "found an empty document",
      found: "nothing",
      allowed: "a mapping; {} takes every default",
    });
    return result(undefined, nothing);
  }
  const { value, spot } = reader(environment, { refuse, skip })(document.contents, [], 0);
  return result(value, spot);
};
