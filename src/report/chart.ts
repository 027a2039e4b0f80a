/**
 * A line chart as an SVG document. It can be read without seeing it (title, description, and a name on every point) and
 * without seeing colours: each line has a dash and a mark of its own, and is named in the legend by both.
 */
import { linearScale, probabilityScale, type Scale, timeScale } from "./scale.ts";
import { element, type Markup, textElement } from "./svg.ts";

export interface ChartPoint {
  /** ms since 1970. */
  readonly time: number;
  /** null: there is nothing to show at this time. */
  readonly value: number | null;
  /** Of the band around the line; null where there is none. */
  readonly interval?: readonly [low: number, high: number] | null;
  /** The point in words. */
  readonly words: string;
}

export interface ChartLine {
  readonly label: string;
  readonly points: readonly ChartPoint[];
  /** Holds its value until the next point. */
  readonly steps?: true;
}

export interface Chart {
  /** Unique within a page: ids of the document begin with it. */
  readonly id: string;
  readonly title: string;
  /** What it shows and what came of it, for whoever does not see it. */
  readonly description: string;
  /** What the vertical axis measures. */
  readonly unit: string;
  readonly scale: "number" | "share" | "probability";
  readonly lines: readonly ChartLine[];
  /** Values that lines are compared with. */
  readonly levels: readonly { readonly value: number; readonly label: string }[];
  /** Said where there is nothing to draw. */
  readonly empty: string;
}

const size = { width: 760, height: 420 } as const;
const plot = { left: 78, right: 738, top: 52, bottom: 330 } as const;

/** Okabe and Ito: told apart by every common kind of colour vision, and by brightness. */
const colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#5D4A00", "#56B4E9"] as const;
const dashes = [undefined, "8 4", "2 3", "10 3 2 3", "14 5", "5 2 1 2 1 2"] as const;
const ink = "#1a1a1a";
const quiet = "#d9d9d9";

const look = (index: number) => ({
  colour: colours[index % colours.length] ?? ink,
  dash: dashes[index % dashes.length],
});

/** To a tenth of a pixel: what is drawn is read from the data attributes, and files stay small. */
const px = (value: number): number => Math.round(value * 10) / 10;

/** A mark around (0, 0): of several lines each has another shape. */
const mark = (
  index: number,
  x: number,
  y: number,
  colour: string,
  attributes: Record<string, string | number>,
  words: string,
): Markup => {
  const shapes = [
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z",
    "M-4,-4h8v8h-8Z",
    "M0,-5L5,4H-5Z",
    "M0,-5L5,0L0,5L-5,0Z",
    "M-5,-4H5L0,5Z",
    "M-4,-4L4,4M-4,4L4,-4",
  ];
  return element(
    "path",
    {
      d: shapes[index % shapes.length],
      transform: `translate(${px(x)} ${px(y)})`,
      fill: colour,
      stroke: colour,
      "stroke-width": 1,
      ...attributes,
    },
    [textElement("title", {}, words)],
  );
};

const cut = (text: string, most: number): string => {
  const characters = Array.from(text);
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join("")}…`;
};

interface Axes {
  readonly x: (time: number) => number;
  readonly y: (value: number) => number;
}

const frame = (chart: Chart, times: Scale, values: Scale, { x, y }: Axes): readonly Markup[] => [
  ...values.ticks.flatMap(({ value, label }) => [
    element("line", { x1: plot.left, x2: plot.right, y1: px(y(value)), y2: px(y(value)), stroke: quiet }),
    textElement("text", { x: plot.left - 8, y: px(y(value) + 4), "text-anchor": "end", "data-tick": value }, label),
  ]),
  ...times.ticks.map(({ value, label }) =>
    textElement("text", { x: px(x(value)), y: plot.bottom + 20, "text-anchor": "middle", "data-time": value }, label),
  ),
  element("line", { x1: plot.left, x2: plot.right, y1: plot.bottom, y2: plot.bottom, stroke: ink }),
  textElement("text", { x: plot.left, y: plot.top - 10 }, chart.unit),
];

const levelMarks = ({ levels }: Chart, { y }: Axes): readonly Markup[] =>
  levels.flatMap(({ value, label }) => [
    element("line", {
      x1: plot.left,
      x2: plot.right,
      y1: px(y(value)),
      y2: px(y(value)),
      stroke: ink,
      "stroke-dasharray": "3 3",
      "data-level": value,
    }),
    textElement("text", { x: plot.right, y: px(y(value) - 5), "text-anchor": "end", "font-size": 11 }, label),
  ]);

type Drawn = ChartPoint & { readonly value: number };

const drawnPoints = ({ points }: ChartLine): readonly Drawn[] =>
  points.flatMap((point) => (point.value === null ? [] : [{ ...point, value: point.value }]));

/** Bands break where a point has no interval: between two points that have one, nothing else is claimed. */
const bands = (points: readonly Drawn[], { x, y }: Axes, colour: string): readonly Markup[] => {
  const runs: (Drawn & { readonly interval: readonly [number, number] })[][] = [[]];
  for (const point of points) {
    if (point.interval == null) runs.push([]);
    else runs.at(-1)?.push({ ...point, interval: point.interval });
  }
  return runs
    .filter((run) => run.length > 0)
    .map((run) => {
      // A lone day has a width too, or its interval would be a line that nobody sees.
      const spread = run.length === 1 ? 6 : 0;
      const upper = run.flatMap(({ time, interval }) =>
        [-spread, spread].map((by) => `${px(x(time) + by)},${px(y(interval[1]))}`),
      );
      const lower = run
        .toReversed()
        .flatMap(({ time, interval }) => [spread, -spread].map((by) => `${px(x(time) + by)},${px(y(interval[0]))}`));
      return element("polygon", {
        points: [...new Set(upper), ...new Set(lower)].join(" "),
        fill: colour,
        "fill-opacity": 0.15,
        stroke: colour,
        "stroke-opacity": 0.5,
      });
    });
};

const pathOf = (line: ChartLine, points: readonly Drawn[], { x, y }: Axes): string =>
  points
    .map(({ time, value }, index) => {
      const [left, top] = [px(x(time)), px(y(value))];
      if (index === 0) return `M${left},${top}`;
      return line.steps === true ? `H${left}V${top}` : `L${left},${top}`;
    })
    .join("");

/** Beyond this many points marks would hide the line: the first, the last and some between stay. */
const marksMax = 60;

const lineMarks = (line: ChartLine, index: number, axes: Axes): Markup => {
  const { colour, dash } = look(index);
  const points = drawnPoints(line);
  const every = Math.ceil(points.length / marksMax);
  return element("g", { "data-line": line.label, role: "group", "aria-label": line.label }, [
    ...bands(points, axes, colour),
    element("path", {
      d: points.length === 0 ? "M0,0" : pathOf(line, points, axes),
      fill: "none",
      stroke: colour,
      "stroke-width": 2,
      "stroke-dasharray": dash,
    }),
    ...points
      .filter((_, place) => place % every === 0 || place === points.length - 1)
      .map(({ time, value, interval, words }) =>
        mark(
          index,
          axes.x(time),
          axes.y(value),
          colour,
          {
            "data-time": time,
            "data-value": value,
            ...(interval == null ? {} : { "data-low": interval[0], "data-high": interval[1] }),
          },
          words,
        ),
      ),
  ]);
};

const legendMax = 8;

const legend = ({ lines }: Chart): readonly Markup[] => {
  const shown = lines.slice(0, legendMax);
  const rest = lines.length - shown.length;
  return [
    ...shown.flatMap(({ label }, index) => {
      const [left, top] = [plot.left + (index % 4) * 168, plot.bottom + 48 + Math.floor(index / 4) * 20];
      const { colour, dash } = look(index);
      return [
        element("line", {
          x1: left,
          x2: left + 28,
          y1: top,
          y2: top,
          stroke: colour,
          "stroke-width": 2,
          "stroke-dasharray": dash,
        }),
        mark(index, left + 14, top, colour, {}, label),
        textElement("text", { x: left + 34, y: top + 4 }, cut(label, 20)),
      ];
    }),
    ...(rest > 0
      ? [textElement("text", { x: plot.left, y: plot.bottom + 88 }, `… and ${rest} more, which the description names`)]
      : []),
  ];
};

const scaleOf = ({ scale }: Chart, values: readonly number[]): Scale => {
  switch (scale) {
    case "probability":
      return probabilityScale(values);
    case "share":
      return linearScale(
        values.map((value) => value * 100),
        (tick) => `${tick} %`,
      );
    case "number":
      return linearScale(values);
    default:
      return scale satisfies never;
  }
};

const body = (chart: Chart): readonly Markup[] => {
  const points = chart.lines.flatMap(drawnPoints);
  if (points.length === 0)
    return [textElement("text", { x: plot.left, y: 180, "data-empty": "true" }, cut(chart.empty, 100))];
  const times = timeScale(points.map(({ time }) => time));
  const values = scaleOf(chart, [
    ...points.flatMap(({ value, interval }) => [value, ...(interval ?? [])]),
    ...chart.levels.map(({ value }) => value),
  ]);
  const factor = chart.scale === "share" ? 100 : 1;
  const y = (onScale: number): number => plot.bottom - values.place(onScale) * (plot.bottom - plot.top);
  const axes: Axes = {
    x: (time) => plot.left + times.place(time) * (plot.right - plot.left),
    y: (value) => y(value * factor),
  };
  return [
    // Ticks are in the unit that is shown, and so is their scale.
    ...frame(chart, times, values, { ...axes, y }),
    ...levelMarks(chart, axes),
    ...chart.lines.map((line, index) => lineMarks(line, index, axes)),
    ...legend(chart),
  ];
};

/**
 * The document, as UTF-8 text.
 *
 * @throws TypeError for a figure that is no number
 * @example chartSvg({ id: "arms", title: "Subjects", … }) // '<?xml version="1.0" …><svg …'
 */
export const chartSvg = (chart: Chart): string => {
  const [titleId, descriptionId] = [`${chart.id}-title`, `${chart.id}-description`];
  const svg = element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      viewBox: `0 0 ${size.width} ${size.height}`,
      width: size.width,
      height: size.height,
      role: "img",
      "aria-labelledby": `${titleId} ${descriptionId}`,
      "font-family": "system-ui, sans-serif",
      "font-size": 12,
      fill: ink,
    },
    [
      textElement("title", { id: titleId }, chart.title),
      textElement("desc", { id: descriptionId }, chart.description),
      element("rect", { width: size.width, height: size.height, fill: "#ffffff" }),
      textElement("text", { x: 16, y: 24, "font-size": 15, "font-weight": 600 }, cut(chart.title, 90)),
      ...body(chart),
    ],
  );
  return `<?xml version="1.0" encoding="UTF-8"?>\n${svg.xml}\n`;
};
