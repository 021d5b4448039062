/** `tpa-submit queue hold`, release, retry, bounce, drop and redirect: shows what it will change, asks, and does it. */
import { command, parseOptions, usageMistake, value } from "../../cli/options.ts";
import { isConfirmed } from "../../cli/prompt.ts";
import { tableLines, widthOf } from "../../cli/table.ts";
import { relay as relayKind } from "../../config/setting-types.ts";
import { exitStatus } from "../../failure.ts";
import type {
  ActionName,
  ActionRequest,
  ActionResult,
  ControlApi,
  DamagedMessage,
  MessageFilter,
  QueuedMessage,
} from "../../server/control/protocol.ts";
import { all, config, dryRun, filterOf, filters, ids, idsOf, json, reason, yes } from "./options.ts";
import { columnsFor, newCounts, plural, printAll, rowOf, say } from "./output.ts";

interface ActionText {
  readonly summary: string;
  /** Completes "3 messages …". */
  readonly done: string;
  readonly examples: readonly string[];
}

const actionTexts: Readonly<Record<ActionName, ActionText>> = {
  hold: {
    summary: "Put messages aside: they are not tried, and not given up either, until they are released.",
    done: "held",
    examples: [
      "tpa-submit queue hold 65D3997B8000",
      'tpa-submit queue hold --user user1 --reason "odd volume" --yes',
    ],
  },
  release: {
    summary: "Let held messages go on; they are tried at once.",
    done: "released",
    examples: ["tpa-submit queue release --all", "tpa-submit queue release --user user1 --yes"],
  },
  retry: {
    summary: "Try messages now, whatever their schedule says, and forget which hosts could not be reached.",
    done: "tried now",
    examples: ["tpa-submit queue retry --domain example.net", "tpa-submit queue retry --all --yes"],
  },
  bounce: {
    summary:
      "Give messages up: their senders get a report with your reason. A reason may begin with a status, 5.7.1.",
    done: "returned to sender",
    examples: ['tpa-submit queue bounce --domain example.net --reason "5.4.1 the host is gone for good"'],
  },
  drop: {
    summary: "Remove messages for good. Nobody is told.",
    done: "removed",
    examples: ["tpa-submit queue drop --user user1 --status held --yes"],
  },
  redirect: {
    summary: "Send messages by way of another relay, at once.",
    done: "redirected",
    examples: [
      "tpa-submit queue redirect 65D3997B8000 --relay smtp://relay.example.org:25",
      "tpa-submit queue redirect --domain example.net --relay default --yes",
    ],
  },
};

const options = {
  config,
  ...filters,
  all,
  reason,
  yes,
  dryRun,
  json,
};

const commonParts = (act: ActionName) => ({
  name: `queue ${act}`,
  summary: actionTexts[act].summary,
  arguments: { ids },
  examples: actionTexts[act].examples,
});

const actionCommand = (act: Exclude<ActionName, "redirect">) => command({ ...commonParts(act), options });

export const actionCommands = {
  hold: actionCommand("hold"),
  release: actionCommand("release"),
  retry: actionCommand("retry"),
  bounce: actionCommand("bounce"),
  drop: actionCommand("drop"),
  redirect: command({
    ...commonParts("redirect"),
    options: {
      ...options,
      relay: value("--relay <relay>", 'Where to, as in delivery.relay; "default" takes a redirection back.'),
    },
  }),
};

/** Messages that are shown before the question; of the others only the number. */
const mostShown = 20;

export async function change(act: ActionName, argv: readonly string[]): Promise<number> {
  const name = `queue ${act}`;
  const chosen = read(act, argv);
  if (!chosen) return exitStatus.ok;
  const { options: given, relay } = chosen;
  const wanted = await idsOf(name, chosen.arguments.ids);
  const { readConfig } = await import("../../config/config-file.ts");
  const { connectToControl, currentOperator } = await import("./connection.ts");
  const configuration = await readConfig(given.config);
  const filter = filterOf(given, configuration.domain);
  requireSelection(name, wanted, filter, given.all);
  const by = currentOperator();
  const { api, close } = await connectToControl(configuration);
  const found = await showSelection(api, wanted, filter);
  let status: number = found.unknown ? exitStatus.noInput : exitStatus.ok;
  const what = `${act} ${plural(found.ids.length, "message")}`;
  if (found.ids.length > 0 && !given.dryRun && (given.yes || (await isConfirmed(`${what}?`, what)))) {
    const order = { verb: "act", action: act, ids: found.ids, reason: given.reason, relay, by } as const;
    status = Math.max(status, await runAction(api, order, given.json));
  }
  await close();
  return status;
}

function read(act: ActionName, argv: readonly string[]) {
  if (act === "redirect") {
    const chosen = parseOptions(actionCommands.redirect, argv);
    return chosen && { ...chosen, relay: relayOf(chosen.options.relay) };
  }
  const chosen = parseOptions(actionCommands[act], argv);
  return chosen && { ...chosen, relay: "" };
}

function relayOf(given: string | undefined): string {
  if (given === "default") return "";
  if (given !== undefined && relayKind.read(given) !== undefined) return given;
  const found = given === undefined ? "none" : JSON.stringify(given);
  throw usageMistake(
    "queue redirect",
    `--relay: expected ${relayKind.expected}, or "default"; found ${found}`,
  );
}

/** Nothing is changed because something was left out. */
function requireSelection(
  name: string,
  wanted: readonly string[],
  filter: MessageFilter,
  everything: boolean,
): void {
  const some = wanted.length > 0 || Object.keys(filter).length > 0;
  if (some && everything) throw usageMistake(name, "--all does not go together with queue IDs or filters");
  if (!some && !everything) throw usageMistake(name, "which messages? Give queue IDs, filters or --all");
}

/** Shows on standard error what will be changed. */
async function showSelection(api: ControlApi, wanted: readonly string[], filter: MessageFilter) {
  const counts = newCounts();
  const ids: string[] = [];
  const first: (QueuedMessage | DamagedMessage)[] = [];
  const list = api({ verb: "list", ...(wanted.length > 0 ? { ids: wanted } : {}), filter });
  for await (const one of counts.of(list)) {
    if (first.length < mostShown) first.push(one);
    ids.push(one.id);
  }
  const isShared = first.some(({ host }) => host !== undefined);
  for await (const text of tableLines(columnsFor(isShared), rowsOf(first), widthOf(process.stderr)))
    process.stderr.write(text);
  if (ids.length > first.length) say(`… and ${ids.length - first.length} more`);
  say(counts.text());
  return { ids, unknown: counts.unknown() };
}

async function* rowsOf(
  messages: readonly (QueuedMessage | DamagedMessage)[],
): AsyncGenerator<readonly string[]> {
  const now = Date.now();
  for (const message of messages) yield rowOf(message, now, true);
}

/** The exit status is that of the worst result. */
const statusOf: Readonly<Record<ActionResult["outcome"], number>> = {
  done: exitStatus.ok,
  skipped: exitStatus.ok,
  unknown: exitStatus.ok, // it was there a moment ago: it has been delivered
  busy: exitStatus.temporary,
  failed: exitStatus.ioError,
};

async function runAction(api: ControlApi, order: ActionRequest, asJson: boolean): Promise<number> {
  let done = 0;
  let status: number = exitStatus.ok;
  async function* results(): AsyncGenerator<string> {
    for await (const one of api(order)) {
      const { id, outcome, says } = one;
      if (outcome === "done") done++;
      status = Math.max(status, statusOf[outcome]);
      if (asJson) yield `${JSON.stringify({ queue_id: id, outcome, says })}\n`;
      else if (says !== "") say(`${id}: ${says}`);
    }
    if (!asJson) yield `${plural(done, "message")} ${actionTexts[order.action].done}\n`;
  }
  await printAll(results());
  return status;
}
