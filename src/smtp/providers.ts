/** Whose host it is that mail goes to: the large providers and filters, by the end of the host's name. */

/** Whose words they answer with: a part of the table of known replies. */
export type ReplyWording =
  | "Google"
  | "Yahoo"
  | "Microsoft"
  | "Apple"
  | "Telekom"
  | "United Internet"
  | "Comcast"
  | "Yandex"
  | "mail.ru"
  | "Rackspace";

export interface Provider {
  /** As people call it; also a label of metrics. */
  readonly name: string;
  /** Ends of the names of its hosts, whole labels, in lower case. */
  readonly hosts: readonly string[];
  readonly wording?: ReplyWording;
}

const provider = (name: string, hosts: readonly string[], wording?: ReplyWording): Provider => ({
  name,
  hosts,
  ...(wording !== undefined && { wording }),
});

export const providers: readonly Provider[] = [
  provider("Gmail", ["gmail-smtp-in.l.google.com"], "Google"),
  provider("Google Workspace", ["google.com", "googlemail.com", "psmtp.com"], "Google"),
  provider("Yahoo", ["yahoodns.net", "mx.aol.com"], "Yahoo"),
  provider("Outlook.com", ["olc.protection.outlook.com"], "Microsoft"),
  provider("Microsoft 365", ["mail.protection.outlook.com", "mx.microsoft"], "Microsoft"),
  provider("Apple iCloud", ["mail.icloud.com"], "Apple"),
  provider("Proton", ["protonmail.ch"]),
  provider("GMX and web.de", ["gmx.net", "gmx.com", "web.de", "mail.com"], "United Internet"),
  provider("IONOS", ["kundenserver.de", "ionos.com", "1and1.com"], "United Internet"),
  provider("Telekom", ["t-online.de"], "Telekom"),
  provider("Riseup", ["riseup.net"]),
  provider("Fastmail", ["messagingengine.com"]),
  provider("Yandex", ["yandex.ru", "yandex.net"], "Yandex"),
  provider("mail.ru", ["mail.ru"], "mail.ru"),
  provider("Comcast", ["comcast.net"], "Comcast"),
  provider("Spectrum", ["charter.net"]),
  provider("Cox", ["cox.net"]),
  provider("Orange", ["orange.fr", "wanadoo.fr"]),
  provider("La Poste", ["laposte.net"]),
  provider("Proofpoint", ["pphosted.com", "ppe-hosted.com"]),
  provider("Mimecast", ["mimecast.com"]),
  provider("Barracuda", ["barracudanetworks.com"]),
  provider("Cisco", ["iphmx.com"]),
  provider("Symantec", ["messagelabs.com", "inboundmx.com"]),
  provider("Trend Micro", ["tmes.trendmicro.com"]),
  provider("Hornetsecurity", ["hornetsecurity.com", "antispameurope.com"]),
  provider("eXpurgate", ["expurgate.net", "ctmail.com"]),
  provider("Sophos", ["hydra.sophos.com"]),
  provider("Forcepoint", ["mailcontrol.com"]),
  provider("AppRiver", ["arsmtp.com"]),
  provider("Zoho", ["zoho.com", "zoho.eu", "zohomail.com"]),
  provider("GoDaddy", ["secureserver.net"]),
  provider("Rackspace", ["emailsrvr.com"], "Rackspace"),
  provider("Namecheap", ["privateemail.com", "registrar-servers.com"]),
  provider("OVH", ["ovh.net"]),
  provider("Gandi", ["gandi.net"]),
  provider("Infomaniak", ["infomaniak.ch"]),
  provider("Tucows", ["hostedemail.com"]),
  provider("Migadu", ["migadu.com"]),
  provider("mailbox.org", ["mailbox.org"]),
  provider("Posteo", ["posteo.de"]),
  provider("Tuta", ["tutanota.de"]),
  provider("Runbox", ["runbox.com"]),
  provider("MXroute", ["mxroute.com"]),
  provider("SiteGround", ["mailspamprotection.com"]),
  provider("SpamExperts", ["spamexperts.com", "spamexperts.eu", "spamexperts.net"]),
  provider("DreamHost", ["dreamhost.com"]),
  provider("one.com", ["one.com"]),
  provider("Amazon", ["amazonaws.com"]),
  provider("Mailgun", ["mailgun.org"]),
  provider("Tencent", ["qq.com"]),
  provider("NetEase", ["163.com", "netease.com"]),
  provider("KDDI", ["ezweb.ne.jp", "au.com"]),
  provider("NTT Docomo", ["docomo.ne.jp"]),
  provider("I.UA", ["email.ua"]),
  provider("Seznam", ["seznam.cz"]),
  provider("Cloudflare", ["mx.cloudflare.net"]),
  provider("ForwardEmail", ["forwardemail.net"]),
  provider("ImprovMX", ["improvmx.com"]),
];

const byEnd: ReadonlyMap<string, Provider> = new Map(
  providers.flatMap((one) => one.hosts.map((end) => [end, one] as const)),
);

/** The provider whose host this is: the longest end of its name that has one. */
export function providerOf(host: string): Provider | undefined {
  const name = host.toLowerCase().replace(/\.$/, "");
  for (let end = name; end !== ""; end = end.includes(".") ? end.slice(end.indexOf(".") + 1) : "") {
    const found = byEnd.get(end);
    if (found !== undefined) return found;
  }
  return undefined;
}
