/**
 * One message told to one filter, from its connection to its last octet, and what the filter says of it. Sockets are in
 * client.ts.
 */
import type { HeaderField } from "../../../smtp/header.ts";
import { type MilterAnswer, type MilterChange, type MilterVerdict, readAnswer } from "./answers.ts";
import { encodeFrame, encodeText, type MilterFrame, MilterTrouble, mostSent } from "./frames.ts";
import { type MilterStep, type MilterTerms, milterSteps, optionsFrame, readTerms } from "./terms.ts";

/** The way to a filter. Both take a limited time, and throw a {@link MilterTrouble} where nothing more can be had. */
export interface MilterChannel {
  /** Resolves when more may be sent. */
  send(...frames: readonly Buffer[]): Promise<void>;
  next(): Promise<MilterFrame>;
}

/** What a filter is told of the message besides its octets. */
export interface MilterEnvelope {
  /** IP address, or that of its network; no name is known. */
  readonly client: { readonly address: string; readonly isIPv6: boolean };
  readonly helo: string;
  readonly sender: string;
  /** Parameters of MAIL. */
  readonly parameters: readonly string[];
  readonly recipients: readonly string[];
  /** By name, without braces; one without a value is not sent. */
  readonly macros: Readonly<Record<string, string | undefined>>;
}

export interface MilterContent {
  /** "latin1", each with its line end; without our own Received field, as Postfix hides its own. */
  readonly fields: readonly HeaderField[];
  readonly body: AsyncIterable<Buffer>;
}

export interface MilterDecision {
  readonly verdict: MilterVerdict;
  /** At whose name the filter refused it. */
  readonly recipient?: string;
  /** In the order in which they came; none where the message is refused. Pieces of a body went to `replaced` before. */
  readonly changes: readonly Exclude<MilterChange, { readonly kind: "body" }>[];
}

// Our choices: no honest filter comes near them, and a hostile one must not keep us busy.
const mostChanges = 1_000;
const mostChanged = 1_048_576; // octets of header fields
const mostProgress = 1_000;

/** The macros of each step, as Postfix's milter_*_macros have them, where a filter asks for no others. */
const standardMacros: Partial<Record<MilterStep, readonly string[]>> = {
  connect: ["j", "daemon_name", "v", "_", "client_addr", "client_name", "client_ptr"],
  helo: ["tls_version", "cipher", "cipher_bits"],
  mail: ["i", "auth_type", "auth_authen", "mail_addr", "mail_host"],
  rcpt: ["i", "rcpt_addr", "rcpt_host"],
  data: ["i"],
  "end of header": ["i"],
  end: ["i"],
};

/** Agrees on the terms, which is all that a check needs. */
export async function negotiate(channel: MilterChannel): Promise<MilterTerms> {
  await channel.send(optionsFrame());
  return readTerms(await channel.next());
}

/** `replaced` takes each piece of another body. Throws a {@link MilterTrouble} where the filter is not one that can be followed. */
export async function converse(
  channel: MilterChannel,
  envelope: MilterEnvelope,
  { fields, body }: MilterContent,
  replaced: (octets: Buffer) => Promise<void>,
): Promise<MilterDecision> {
  const terms = await negotiate(channel);
  let progress = 0;

  async function answer(): Promise<MilterAnswer> {
    for (;;) {
      const found = readAnswer(await channel.next(), terms);
      if (!("kind" in found) || found.kind !== "progress") return found;
      progress += 1;
      if (progress > mostProgress) throw new MilterTrouble("it says that it goes on, and does not");
    }
  }

  function frames(
    step: MilterStep,
    data: readonly Buffer[],
    more: MilterEnvelope["macros"],
  ): readonly Buffer[] {
    const { command } = milterSteps[step];
    const values = { ...envelope.macros, ...more };
    const texts = (terms.macros(step) ?? standardMacros[step] ?? []).flatMap((name) => {
      const value = Object.hasOwn(values, name) ? values[name] : undefined;
      const written = name.length === 1 ? name : `{${name}}`;
      return value === undefined || value === "" ? [] : [encodeText(written), encodeText(value)];
    });
    const macros = texts.length === 0 ? [] : [encodeFrame("D", Buffer.from(command), ...texts)];
    return [...macros, encodeFrame(command, ...data)];
  }

  /** Tells of a step, and gives the answer where the filter has one. */
  async function tell(
    step: MilterStep,
    data: readonly Buffer[] = [],
    more: MilterEnvelope["macros"] = {},
  ): Promise<MilterVerdict | "skip" | undefined> {
    if (!terms.wants(step)) return undefined;
    await channel.send(...frames(step, data, more));
    if (!terms.answers(step)) return undefined;
    const said = await answer();
    if ("verdict" in said) return said.verdict;
    if ("change" in said) throw new MilterTrouble("it changed the message before it was whole");
    if (said.kind !== "skip") return undefined;
    if (step === "body") return "skip";
    throw new MilterTrouble("it skipped what cannot be skipped");
  }

  /** All steps before the last, until a verdict. */
  async function early(): Promise<Omit<MilterDecision, "changes"> | undefined> {
    const { client, helo, sender, parameters, recipients } = envelope;
    const told = async (...step: Parameters<typeof tell>): Promise<MilterVerdict | undefined> => {
      const verdict = await tell(...step);
      return verdict === "skip" ? undefined : verdict;
    };
    let verdict =
      (await told("connect", connectData(client))) ??
      (await told("helo", [encodeText(helo)])) ??
      (await told("mail", [encodeText(`<${sender}>`), ...parameters.map((text) => encodeText(text))], {
        mail_addr: sender,
        mail_host: hostIn(sender),
      }));
    if (verdict) return { verdict };
    for (const recipient of recipients) {
      const macros = { rcpt_addr: recipient, rcpt_host: hostIn(recipient) };
      verdict = await told("rcpt", [encodeText(`<${recipient}>`)], macros);
      if (verdict) return { verdict, recipient };
    }
    verdict = await told("data");
    for (const { name, raw } of terms.wants("header") ? fields : []) {
      if (verdict) return { verdict };
      const value = fieldValue(raw, terms.leadingBlank);
      verdict = await told("header", [encodeText(name, "latin1"), encodeText(value, "latin1")]);
    }
    verdict ??= await told("end of header");
    return verdict && { verdict };
  }

  async function tellBody(): Promise<MilterVerdict | undefined> {
    if (!terms.wants("body")) return undefined;
    for await (const chunk of body) {
      for (let at = 0; at < chunk.length; at += mostSent) {
        const verdict = await tell("body", [chunk.subarray(at, at + mostSent)]);
        if (verdict === "skip") return undefined;
        if (verdict) return verdict;
      }
    }
    return undefined;
  }

  /** The changes that come behind the last octet, and the verdict behind them. */
  async function end(): Promise<MilterDecision> {
    const changes: MilterDecision["changes"][number][] = [];
    let octets = 0;
    await channel.send(...frames("end", [], {}));
    for (;;) {
      const said = await answer();
      if ("verdict" in said) return { verdict: said.verdict, changes };
      if ("kind" in said) {
        if (said.kind === "skip") throw new MilterTrouble("it skipped what cannot be skipped");
        return { verdict: { kind: "accept" }, changes };
      }
      const { change } = said;
      if (change.kind === "body") await replaced(change.octets);
      else changes.push(terms.leadingBlank ? change : withBlank(change));
      octets += "value" in change ? change.name.length + change.value.length : 0;
      if (changes.length > mostChanges || octets > mostChanged)
        throw new MilterTrouble("it changes the message without an end");
    }
  }

  const before = await early();
  if (before) return { ...before, changes: [] };
  const within = await tellBody();
  return within ? { verdict: within, changes: [] } : end();
}

/** The name stands in brackets where it is not known. Port 0: ours does not matter to anybody. */
function connectData({ address, isIPv6 }: MilterEnvelope["client"]): readonly Buffer[] {
  const family = Buffer.from(isIPv6 ? "6" : "4");
  return [encodeText(`[${address}]`), family, Buffer.alloc(2), encodeText(address)];
}

const hostIn = (address: string): string => address.slice(address.lastIndexOf("@") + 1);

/** A value as it stands behind the colon. */
const withBlank = (change: MilterDecision["changes"][number]): MilterDecision["changes"][number] =>
  "value" in change && change.value !== "" ? { ...change, value: ` ${change.value}` } : change;

/** Folded lines travel with LF, and without the blank behind the colon unless that was agreed on. */
function fieldValue(raw: string, leadingBlank: boolean): string {
  const value = raw
    .slice(raw.indexOf(":") + 1)
    .replace(/\r\n$/, "")
    .replaceAll("\r\n", "\n");
  return !leadingBlank && value.startsWith(" ") ? value.slice(1) : value;
}
