/** What was found, as tables of Markdown: the figures with their goals, and how cost grows. */
import { median } from "./bench.mjs";
import { goals } from "./goals.mjs";
import { lineThrough } from "./line.mjs";

/** @typedef {import("./bench.mjs").Figure} Figure */
/** @typedef {import("./cases/scale.mjs").Series} Series */
/** @typedef {import("./sides.mjs").Key} Key */

/**
 * @typedef {object} Found what one case found
 * @property {string} name
 * @property {string} title
 * @property {Run} run
 * @property {readonly Figure[]} [figures]
 * @property {readonly Series[]} [series]
 */

/**
 * @typedef {object} Run
 * @property {string} at when it began, ISO 8601
 * @property {number} seconds that it took
 * @property {boolean} quick
 * @property {number} load of the machine before it, in one minute's average
 * @property {string} machine
 * @property {Partial<Record<Key, string>>} sides with their versions
 */

/** @type {(number: number, digits?: number) => string} */
const shown = (number, digits = 0) =>
  number
    .toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
    .replaceAll(",", " ");

/**
 * The median, and the least and the most.
 * @param {readonly number[] | undefined} values
 * @param {number | undefined} digits
 */
function cell(values, digits) {
  const middle = median(values);
  if (values === undefined || middle === undefined) return "";
  if (values.length === 1) return shown(middle, digits);
  return `${shown(middle, digits)} (${shown(Math.min(...values), digits)}-${shown(Math.max(...values), digits)})`;
}

/** @type {(rows: readonly (readonly string[])[]) => string} */
const markdown = ([head = [], ...rows]) =>
  [head, head.map((_, at) => (at === 0 ? "---" : "---:")), ...rows]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n");

/** @type {(one: number | undefined, other: number | undefined) => string} */
const ratio = (one, other) =>
  one === undefined || other === undefined || other === 0
    ? ""
    : shown(one / other, one / other < 9.95 ? 2 : 1);

/**
 * @param {readonly Found[]} found
 * @returns {string}
 */
export function figureTable(found) {
  const all = found.flatMap(({ figures = [] }) => figures).filter(({ about }) => about === undefined);
  // What nobody here has is told where there is a goal for it.
  const told = all.filter(({ id, values }) => goals[id] !== undefined || Object.keys(values).length > 0);
  const has = (/** @type {Key} */ key) => all.some(({ values }) => values[key] !== undefined);
  const before = has("before");
  const other = (/** @type {string} */ id) => median(all.find((one) => one.id === id)?.values.ours);
  const head = [
    "",
    "ours",
    ...(before ? ["before", "ours : before"] : []),
    "Postfix + Dovecot",
    "ours : theirs",
    "goal",
    "",
  ];
  const rows = told.map(({ id, text, unit, digits, values }) => {
    const [ours, postfix] = [median(values.ours), median(values.postfix)];
    const goal = goals[id];
    const reached = goal && ours !== undefined ? goal.reached({ ours, postfix, other }) : undefined;
    return [
      `${text}, ${unit}`,
      cell(values.ours, digits),
      ...(before ? [cell(values.before, digits), ratio(ours, median(values.before))] : []),
      cell(values.postfix, digits),
      ratio(ours, postfix),
      goal?.text ?? "",
      goal === undefined ? "" : reached === undefined ? "not measured" : reached ? "reached" : "**missed**",
    ];
  });
  return markdown([head, ...rows]);
}

/**
 * What the clients and the next hop had to do meanwhile.
 * @param {readonly Found[]} found
 */
export function loadTable(found) {
  const all = found.flatMap(({ figures = [] }) => figures).filter(({ about }) => about !== undefined);
  if (all.length === 0) return "";
  const before = all.some(({ values }) => values.before !== undefined);
  return markdown([
    ["", "ours", ...(before ? ["before"] : []), "Postfix + Dovecot"],
    ...all.map(({ text, unit, digits, values }) => [
      `${text}, ${unit}`,
      cell(values.ours, digits),
      ...(before ? [cell(values.before, digits)] : []),
      cell(values.postfix, digits),
    ]),
  ]);
}

/** Three significant digits. @param {number} number */
const rough = (number) =>
  number === 0 ? "0" : shown(number, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(number)))));

/** R² from which on a line is told. Our choice. */
const straight = 0.75;

/** @param {readonly Series[]} series */
export function scaleTable(series) {
  return markdown([
    ["against", "cost", "at four sizes", "line", "R²", "exponent"],
    ...series.map(({ against, cost, unit, sizes, values, per = 1_000 }) => {
      const { base, each, r2, exponent } = lineThrough(sizes, values);
      return [
        against,
        `${cost}, ${unit}`,
        sizes.map((size, at) => `${shown(size)}: ${rough(values[at] ?? 0)}`).join("; "),
        r2 < straight
          ? "none fits"
          : `${rough(base)} ${each < 0 ? "-" : "+"} ${rough(Math.abs(each * per))} ${per === 1 ? "each" : `per ${shown(per)}`}`,
        shown(r2, 2),
        Number.isFinite(exponent) ? shown(exponent, 2) : "",
      ];
    }),
  ]);
}

/**
 * What a host carries, by the lines through what was measured.
 * @param {readonly Series[]} series
 */
export function hostTable(series) {
  const of = (/** @type {string} */ id) => {
    const one = series.find((each) => each.id === id);
    return one ? { ...lineThrough(one.sizes, one.values), values: one.values } : undefined;
  };
  const memory = ["users.memory", "queued.memory", "idle.memory"].map(of);
  const alone = Math.min(...memory.map((one) => one?.base ?? Number.POSITIVE_INFINITY));
  const [users, queued, idle] = memory.map((one) => Math.max(0, one?.each ?? 0));
  const atWork = of("messages.memory")?.values.at(-1);
  const kib = (/** @type {number | undefined} */ mebibytes) => rough((mebibytes ?? Number.NaN) * 1_024);
  const cost = of("messages.cpu")?.values.at(-1) ?? Number.NaN;
  const rate = of("messages.rate")?.values.at(-1) ?? Number.NaN;
  const needs = (
    /** @type {number} */ logins,
    /** @type {number} */ waiting,
    /** @type {number} */ sessions,
  ) => alone + logins * (users ?? 0) + waiting * (queued ?? 0) + sessions * (idle ?? 0);
  const sites = /** @type {const} */ ([
    [100, 100, 20],
    [10_000, 10_000, 1_000],
    [100_000, 100_000, 5_000],
    [100_000, 1_000_000, 10_000],
  ]);
  return [
    markdown([
      ["logins", "queued messages", "idle sessions", "memory, MiB", "known after a start, s"],
      ...sites.map(([logins, waiting, sessions]) => [
        shown(logins),
        shown(waiting),
        shown(sessions),
        shown(needs(logins, waiting, sessions)),
        rough((of("queued.known")?.base ?? 0) + waiting * (of("queued.known")?.each ?? 0)),
      ]),
    ]),
    "",
    `- By itself the relay takes ${shown(alone)} MiB${atWork === undefined ? "" : `, and ${shown(atWork)} once it has been busy`}; a login ${kib(users)} KiB more, a message that waits ${kib(queued)}, a session that is open ${kib(idle)}. ` +
      `So sessions are what memory is for: one GiB is enough for some ${shown(Math.floor((1_024 - alone) / (idle ?? 0) / 1_000))} thousand of them, ` +
      `or for ${shown((1_024 - alone) / (queued ?? 0) / 1e6, 1)} million messages that wait.`,
    `- A message of 5 kB that is accepted and delivered takes ${rough(cost)} ms of processor: a core that does nothing else does ${shown(1_000 / cost)} a second. ` +
      `With clients, next hop and relay on this machine it was ${shown(rate)} a second, ${shown((rate * 3_600) / 1e6, 1)} million an hour.`,
    `- How many logins there are, and how many sessions say nothing, does not make a message dearer; how many messages wait makes a start longer, ` +
      `${rough((of("queued.known")?.each ?? 0) * 100_000)} s for each 100 000.`,
  ].join("\n");
}

/**
 * What a message, one that waits, a login and a host cost where hosts share a database, by the largest size that was measured and
 * by the lines.
 * @param {readonly Series[]} series
 */
export function growthText(series) {
  const of = (/** @type {string} */ id) => {
    const one = series.find((each) => each.id === id);
    const { sizes = [], values = [] } = one ?? {};
    return { ...lineThrough(sizes, values), last: values.at(-1) ?? Number.NaN, most: sizes.at(-1) ?? 0 };
  };
  const each = (/** @type {string} */ id) => Math.max(0, of(id).each);
  const [promised, delivered] = ["promised", "delivered"].map((id) => ({
    relay: of(`${id}.relay`).last,
    database: of(`${id}.database`).last,
  }));
  const core = (/** @type {number | undefined} */ cost) => shown(1_000 / (cost ?? Number.NaN));
  return [
    `- A message of 5 kB takes ${rough(promised?.relay ?? 0)} ms of the relay's processor and ${rough(promised?.database ?? 0)} ms of the database's until its 250, ` +
      `${rough(delivered?.relay ?? 0)} and ${rough(delivered?.database ?? 0)} ms until it is delivered: a core of a relay does ${core(delivered?.relay)} a second, ` +
      `one of the database ${core(delivered?.database)}.`,
    `- One that waits takes ${rough(of("queued.disk").last)} KiB of the database's disk and ${rough(each("queued.memory") * 1_024)} KiB of memory of the host that delivers it. ` +
      `A host that takes over ${shown(of("queued.known").most)} has them ${rough(of("queued.known").last)} s after its start, ${rough(each("queued.known") * 10_000)} s more for each 10 000.`,
    `- A login that sends takes ${rough(of("logins.disk").last)} KiB there, and ${rough(each("logins.memory") * 1_024)} KiB of memory on each host; a start takes ` +
      `${rough(each("logins.listening") * 100_000)} s longer for each 100 000.`,
    `- One more host costs ${rough(each("hosts.idle"))} % of a core, of all machines together, while nobody sends, and a message ` +
      `${rough(Math.max(0, of("hosts.database").each))} ms more of the database's processor.`,
  ].join("\n");
}

/** When, where and with what. @param {readonly Found[]} found */
export function circumstances(found) {
  const machines = new Set(found.map(({ run }) => run.machine));
  const sides = new Set(found.flatMap(({ run }) => Object.values(run.sides)));
  const days = [...new Set(found.map(({ run }) => run.at.slice(0, 10)))].sort();
  const loads = found.map(({ run }) => run.load);
  const minutes = found.reduce((sum, { run }) => sum + run.seconds, 0) / 60;
  return [
    `Measured on ${days.join(" and ")}, in ${shown(minutes, 1)} minutes: ${[...sides].join("; ")}.`,
    `${[...machines].join("; ")}; load before a case between ${Math.min(...loads).toFixed(1)} and ${Math.max(...loads).toFixed(1)}.`,
    ...(found.some(({ run }) => run.quick)
      ? ["**Some of it with --quick: these figures are worth nothing.**"]
      : []),
  ].join(" ");
}
