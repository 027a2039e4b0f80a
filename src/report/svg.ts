/** XML elements as text. Everything that is put in is escaped, so no name of a variant can become markup. */

/** A finished piece of markup; only {@link element} and {@link textNode} make one. */
export interface Markup {
  readonly xml: string;
}

/** What XML 1.0 has no form for, not even escaped, becomes a replacement character; as do those that reorder text. */
const allowed = (text: string): string =>
  text
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\uFFFE\uFFFF]/gu, (character) =>
      /[\t\n\r]/.test(character) ? " " : "\uFFFD",
    );

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** @example escapeXml('a < "b"') // "a &lt; &quot;b&quot;" */
export const escapeXml = (text: string): string =>
  allowed(text).replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);

export const textNode = (text: string): Markup => ({ xml: escapeXml(text) });

type Attributes = Readonly<Record<string, string | number | undefined>>;

/**
 * @throws TypeError for a number that is none: a chart with `NaN` in it shows nothing, and does not say so
 * @example element("circle", { cx: 10, cy: 20, r: 3 }).xml // '<circle cx="10" cy="20" r="3"/>'
 */
export const element = (name: string, attributes: Attributes, children: readonly Markup[] = []): Markup => {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([attribute, value = ""]) => {
      if (typeof value === "number" && !Number.isFinite(value))
        throw new TypeError(`svg: ${name} ${attribute} is ${value}`);
      return ` ${attribute}="${escapeXml(String(value))}"`;
    })
    .join("");
  return {
    xml:
      children.length === 0
        ? `<${name}${written}/>`
        : `<${name}${written}>${children.map(({ xml }) => xml).join("")}</${name}>`,
  };
};

/** An element that holds text and nothing else. */
export const textElement = (name: string, attributes: Attributes, text: string): Markup =>
  element(name, attributes, [textNode(text)]);
