/** Prints or writes what the command line of `settings` asks for. */
import { X509Certificate } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { usageMistake } from "../../cli/options.ts";
import { print, visible } from "../../cli/output.ts";
import { headingFor } from "../../cli/terminal.ts";
import { readConfig } from "../../config/config-file.ts";
import { domainNames, domainOfLogin, forLogin } from "../../config/domains.ts";
import type { HostAndPort } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { publicAddresses } from "../init/records.ts";
import type { MailClient, Service } from "./client.ts";
import { type FormatName, formatOf } from "./formats.ts";
import { sitePages } from "./page.ts";
import { hostKeysIn, type RecordSources, zoneLines } from "./records.ts";
import { replies } from "./replies.ts";
import { anybody, serviceOf } from "./service.ts";
import { clientNamed, clientsOf } from "./table.ts";
import { clientText, overviewText } from "./text.ts";

/** What was asked for. */
interface SettingsOptions {
  readonly config: string;
  readonly login: string | undefined;
  readonly server: string | undefined;
  readonly format: FormatName | undefined;
  readonly incoming: HostAndPort | undefined;
  readonly dns: boolean;
  readonly site: string | undefined;
  readonly json: boolean;
}

/** Returns the exit status. */
export async function tellSettings(word: string | undefined, options: SettingsOptions): Promise<number> {
  refuseTogether(word, options);
  const client = word === undefined ? undefined : clientNamed(word);
  const whole = await readConfig(options.config);
  const config = configFor(options.login, whole);
  const service = serviceOf(config, options.login, options.server, whole.domain);
  if (options.dns) {
    const certificate = await certificateIn(config.tls.certificate);
    const addresses = publicAddresses(networkInterfaces());
    const domains = options.login === undefined ? domainNames(whole) : [config.domain];
    const hostKeys = config.ssh.keys === "" ? undefined : await hostKeysIn("/etc/ssh");
    print(zoneLines({ config, domains, service, addresses, certificate, hostKeys }));
  } else if (options.site !== undefined) await writeSite(options.site, service, clientsOf(config));
  else if (options.format !== undefined) printFile(options.format, service, options.incoming);
  else if (options.json) print(`${JSON.stringify(asJson(client, service, clientsOf(config)))}\n`);
  else {
    const heading = await headingFor(process.stdout);
    print(client ? clientText(client, service, heading) : overviewText(clientsOf(config), service, heading));
  }
  return exitStatus.ok;
}

/** As the login's domain has it. What is no login at all, serviceOf tells. */
function configFor(login: string | undefined, whole: Config): Config {
  const known = domainNames(whole);
  const domain = domainOfLogin(login ?? "", whole.domain);
  if (known.length > 1 && domain !== "" && !known.includes(domain))
    throw usageMistake(
      "settings",
      `--login: ${JSON.stringify(domain)} is none of the domains here: ${known.join(", ")}`,
    );
  return forLogin(whole, login ?? "");
}

/** Each of these prints something of its own. */
function refuseTogether(word: string | undefined, options: SettingsOptions): void {
  const { format, dns, site, json, incoming } = options;
  const given = [
    ...(format === undefined ? [] : ["--format"]),
    ...(dns ? ["--dns"] : []),
    ...(site === undefined ? [] : ["--site"]),
    ...(json ? ["--json"] : []),
  ];
  if (given.length > 1) throw usageMistake("settings", `give either ${given.join(" or ")}`);
  const [alone] = given;
  if (word !== undefined && alone !== undefined && alone !== "--json")
    throw usageMistake("settings", `${alone} takes no client, found ${JSON.stringify(word)}`);
  if (incoming !== undefined && format === undefined)
    throw usageMistake("settings", "--incoming goes with --format");
}

function printFile(name: FormatName, service: Service, incoming: SettingsOptions["incoming"]): void {
  const { write, lacking } = formatOf(name);
  if (incoming === undefined && lacking !== undefined) {
    if (!lacking.isFile) throw usageMistake("settings", `--format ${name}: ${lacking.text}`);
    note(lacking.text);
  }
  const text = write(service, incoming);
  if (text.includes(anybody)) note(`${anybody} stands for the login; give --login`);
  print(text);
}

const note = (text: string): void => {
  process.stderr.write(`tpa-submit settings: ${text}\n`);
};

async function certificateIn(file: string): Promise<RecordSources["certificate"]> {
  try {
    return new X509Certificate(await readFile(file));
  } catch (error) {
    const text = errorText(error);
    return { missing: text.includes(file) ? text : `${file}: ${text}` };
  }
}

const asJson = (
  client: MailClient | undefined,
  service: Service,
  clients: readonly MailClient[],
): object => ({
  service,
  ...(client ? { client: clientJson(client, service) } : {}),
  ...(client ? {} : { clients: clients.map((one) => clientJson(one, service)) }),
  replies: { ...replies, "wrong-password": { ...replies["wrong-password"], text: service.wrongText } },
});

const clientJson = (client: MailClient, service: Service): object => ({
  ...client,
  steps: client.steps(service),
  fields: client.fields?.(service) ?? [],
  files: client.files?.(service) ?? [],
});

/** Pages that are there already are replaced, each as a whole; nothing else in the folder is touched. */
async function writeSite(folder: string, service: Service, clients: readonly MailClient[]): Promise<void> {
  try {
    await makeFolder(folder);
    for (const [name, text] of sitePages(clients, service))
      await replaceFile(join(folder, name), text, { mode: 0o644 });
  } catch (error) {
    const code = errorCode(error);
    if (code === "") throw error;
    const status = code === "EACCES" || code === "EPERM" ? exitStatus.noPermission : exitStatus.cannotCreate;
    throw new Failure(status, `the site cannot be written to ${visible(folder)}: ${errorText(error)}`);
  }
  note(`${clients.length + 1} pages written to ${visible(folder)}; begin with index.html`);
}

/** Not with those above it: a wrong path shall not become a tree, and in /proc Node.js tries that for ever. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
}
