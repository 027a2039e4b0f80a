/** Plots as documents: read by an XML parser, and held against the figures that they are of. */
import { DOMParser, type Document, type Element } from "@xmldom/xmldom";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Chart, chartSvg } from "../../src/report/chart.ts";
import { plotsOf } from "../../src/report/plots.ts";
import { readResultsDocument, type ResultsDocument } from "../../src/report/results.ts";
import { savedResults } from "./results-fixture.ts";

const resultsOf = (document: unknown): ResultsDocument => {
  const read = readResultsDocument(document);
  if (!read.ok) throw new Error(read.problem);
  return read.results;
};

/** Strict: whatever the parser has to say of the document is a failure. */
const parse = (svg: string): Document =>
  new DOMParser({
    onError: (level, message) => {
      // What XML cannot hold has become one on purpose.
      if (level === "warning" && message.startsWith("Unicode replacement character detected")) return;
      throw new Error(`${level}: ${message}`);
    },
  }).parseFromString(svg, "image/svg+xml");

const all = (root: Document | Element, name: string): readonly Element[] => Array.from(root.getElementsByTagName(name));
const number = (element: Element, attribute: string): number => Number(element.getAttribute(attribute));

interface Drawn {
  readonly label: string;
  readonly points: readonly {
    readonly element: Element;
    readonly time: number;
    readonly value: number;
    readonly x: number;
    readonly y: number;
  }[];
}

const linesIn = (document: Document): readonly Drawn[] =>
  all(document, "g")
    .filter((group) => group.hasAttribute("data-line"))
    .map((group) => ({
      label: group.getAttribute("data-line") ?? "",
      points: all(group, "path")
        .filter((path) => path.hasAttribute("data-value"))
        .map((element) => {
          const [, x, y] = /translate\((\S+) (\S+)\)/.exec(element.getAttribute("transform") ?? "") ?? [];
          return {
            element,
            time: number(element, "data-time"),
            value: number(element, "data-value"),
            x: Number(x),
            y: Number(y),
          };
        }),
    }));

const drawn = (id: string, document: unknown = savedResults()) => {
  const chart = plotsOf(resultsOf(document)).find((one) => one.id === id);
  if (chart === undefined) throw new Error(`there is no plot ${id}`);
  return { chart, document: parse(chartSvg(chart)) };
};

describe("what is drawn is what was counted", () => {
  test("given three days, then each arm's line is their sum so far, at the end of each day", () => {
    const lines = linesIn(drawn("arms").document);
    const ends = ["26", "27", "28"].map((day) => Date.parse(`2025-11-${day}T00:00:00Z`));
    expect(lines.map(({ label, points }) => [label, points.map(({ time, value }) => [time, value])])).toEqual([
      ["control", ends.map((time, index) => [time, [100, 220, 300][index]])],
      ["treatment", ends.map((time, index) => [time, [90, 220, 310][index]])],
    ]);
  });

  test("given an effect, then points and band are those of its sequence, and a day without one is left out", () => {
    const { document, chart } = drawn("effect-1");
    expect(chart.title).toBe("purchase: difference from control");
    const [line] = linesIn(document);
    expect(
      line?.points.map(({ value, element }) => [value, number(element, "data-low"), number(element, "data-high")]),
    ).toEqual([
      [0.06, -0.09, 0.21],
      [0.0871, -0.02, 0.194],
    ]);
    expect(all(document, "polygon")).toHaveLength(1);
    expect(chart.description).toContain("90 % confidence sequence");
    const saved = savedResults();
    const strict = drawn("effect-1", { ...saved, plan: { ...saved.plan, plan: { alpha: 0.0005 } } });
    expect(strict.chart.description).toContain("99.95 % confidence sequence");
  });

  test("an effect whose sequence may not be shown has a line and no band", () => {
    const { document } = drawn("effect-2");
    expect(linesIn(document)[0]?.points.map(({ value }) => value)).toEqual([0.5, 0.8, 0.97]);
    expect(all(document, "polygon")).toHaveLength(0);
  });

  test("the sample ratio has a line and a level for each epoch, on a logarithmic axis", () => {
    const { document } = drawn("sample-ratio");
    const lines = linesIn(document);
    expect(lines.map(({ label, points }) => [label, points.map(({ value }) => value)])).toEqual([
      ["epoch 1", [0.9, 0.4]],
      ["epoch 2", [1, 0.31]],
    ]);
    const levels = all(document, "line").filter((line) => line.hasAttribute("data-level"));
    expect(levels.map((line) => number(line, "data-level"))).toEqual([0.000608, 0.000152]);
    const [first, second] = levels.map((line) => number(line, "y1"));
    const perDecade = ((second ?? NaN) - (first ?? NaN)) / Math.log10(0.000608 / 0.000152);
    const [one, less] = [lines[1]?.points[0]?.y ?? NaN, lines[1]?.points[1]?.y ?? NaN];
    expect((less - one) / -Math.log10(0.31)).toBeCloseTo(perDecade, 0);
  });

  test.for(["arms", "effect-1", "effect-2"])("in %s every mark is where the axis says that its value is", (id) => {
    const { document, chart } = drawn(id);
    const factor = chart.scale === "share" ? 100 : 1;
    const ticks = all(document, "text").filter((text) => text.hasAttribute("data-tick"));
    const [low, high] = [ticks[0], ticks.at(-1)].map((tick) => ({
      value: tick === undefined ? NaN : number(tick, "data-tick"),
      // Labels sit 4 px below their line.
      y: tick === undefined ? NaN : number(tick, "y") - 4,
    }));
    if (low === undefined || high === undefined) throw new Error("no ticks");
    for (const { points } of linesIn(document))
      for (const { value, y } of points) {
        const expected = low.y + ((value * factor - low.value) / (high.value - low.value)) * (high.y - low.y);
        expect(Math.abs(y - expected)).toBeLessThan(0.2);
      }
  });
});

describe("for everybody", () => {
  test.for(["arms", "effect-1", "sample-ratio"])(
    "%s has a title and a description that the image is labelled by",
    (id) => {
      const { document, chart } = drawn(id);
      const root = document.documentElement;
      expect(root?.getAttribute("role")).toBe("img");
      const texts = (root?.getAttribute("aria-labelledby") ?? "")
        .split(" ")
        .map((label) => all(document, "*").find((one) => one.getAttribute("id") === label)?.textContent);
      expect(texts).toEqual([chart.title, chart.description]);
      expect(chart.description.length).toBeGreaterThan(40);
    },
  );

  test("lines differ by dash and by mark, not by colour alone, and every mark has its words", () => {
    const { document } = drawn("arms");
    const groups = all(document, "g");
    const looks = groups.map((group) => {
      const [line, first] = all(group, "path");
      return [line?.getAttribute("stroke-dasharray") ?? "", first?.getAttribute("d") ?? ""];
    });
    expect(new Set(looks.map(([dash]) => dash)).size).toBe(2);
    expect(new Set(looks.map(([, mark]) => mark)).size).toBe(2);
    const marks = linesIn(document).flatMap(({ points }) => points);
    expect(marks.map(({ element }) => all(element, "title")[0]?.textContent)).toContain(
      "treatment, up to the end of 2025-11-27: 310 subjects",
    );
  });
});

describe("hostile names", () => {
  test("are text, whatever they hold", () => {
    const treatment = `</text><script>alert(1)</script>"'&\u202E\u0007]]>`;
    const document = savedResults({ treatment, experiment: "<b>&amp;" });
    for (const chart of plotsOf(resultsOf(document))) {
      const parsed = parse(chartSvg(chart));
      expect(all(parsed, "script")).toEqual([]);
      expect(all(parsed, "b")).toEqual([]);
      const escapes = parsed.documentElement?.textContent ?? "";
      expect(["\u202E", "\u0007"].filter((character) => escapes.includes(character))).toEqual([]);
    }
    const [first, second] = linesIn(drawn("arms", document).document);
    expect(first?.label).toBe("control");
    expect(second?.label).toBe(`</text><script>alert(1)</script>"'&\uFFFD\uFFFD]]>`);
  });

  test("any name of any characters gives a document that parses", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 20 }), (treatment) => {
        fc.pre(treatment !== "control" && treatment !== "__proto__");
        for (const chart of plotsOf(resultsOf(savedResults({ treatment, experiment: treatment }))))
          expect(parse(chartSvg(chart)).documentElement?.tagName).toBe("svg");
      }),
      { numRuns: 60 },
    );
  });
});

describe("where there is nothing to draw", () => {
  test("given no subject yet, then the plot says so", () => {
    const { days: _days, sampleRatioSeries: _looks, ...rest } = savedResults();
    expect(drawn("arms", rest).document.documentElement?.textContent).toContain("Nobody has been exposed");
    expect(drawn("sample-ratio", rest).document.documentElement?.textContent).toContain("No checkpoint");
  });

  test("given a mismatch, then the primary effect is withheld, with the reason in its place", () => {
    const saved = savedResults();
    const { series: _series, ...contrast } = saved.outcomes.purchase.contrasts[0] ?? { series: [] };
    const withheld = {
      ...saved,
      trustworthy: false,
      withheld: "results not trustworthy: the sample ratio is not the planned one",
      outcomes: { purchase: { ...saved.outcomes.purchase, contrasts: [contrast] } },
    };
    const { document } = drawn("effect-1", withheld);
    expect(linesIn(document)).toEqual([]);
    expect(document.documentElement?.textContent).toContain("results not trustworthy");
  });

  test("one day, one point, no variation: still a chart", () => {
    const saved = { ...savedResults(), days: [{ day: "2025-11-25", subjects: { control: 5, treatment: 5 } }] };
    expect(linesIn(drawn("arms", saved).document).map(({ points }) => points.map(({ value }) => value))).toEqual([
      [5],
      [5],
    ]);
  });

  test("a figure that is no number is refused, and not drawn somewhere", () => {
    const chart: Chart = {
      ...drawn("arms").chart,
      lines: [{ label: "broken", points: [{ time: 0, value: NaN, words: "" }] }],
    };
    expect(() => chartSvg(chart)).toThrow(TypeError);
  });
});
