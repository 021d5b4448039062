/** Reports as receivers pack and send them. */
import { readFileSync } from "node:fs";
import { crc32, deflateRawSync, gzipSync } from "node:zlib";

export const sample = (name: string): Buffer => readFileSync(new URL(`samples/${name}`, import.meta.url));

export interface ZipOptions {
  readonly name?: string;
  readonly flags?: number;
  readonly method?: number;
  /** How often the directory names the member. */
  readonly entries?: number;
  /** Octets of the archive that are left away at its end. */
  readonly torn?: number;
}

/** An archive of one member (APPNOTE.TXT 4.3). */
export function zipOf(content: Buffer, options: ZipOptions = {}): Buffer {
  const { name = "google.com!example.org!1795737600!1795823999.xml", flags = 0, method = 8 } = options;
  const { entries = 1, torn = 0 } = options;
  const packed = method === 0 ? content : deflateRawSync(content);
  const label = Buffer.from(name, "latin1");
  const shared = Buffer.alloc(26);
  shared.writeUInt16LE(20, 0);
  shared.writeUInt16LE(flags, 2);
  shared.writeUInt16LE(method, 4);
  shared.writeUInt32LE(crc32(content), 10);
  shared.writeUInt32LE(packed.length, 14);
  shared.writeUInt32LE(content.length, 18);
  shared.writeUInt16LE(label.length, 22);
  const local = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), shared, label, packed]);
  const entry = Buffer.concat([Buffer.from("PK\x01\x02\x14\x00", "latin1"), shared, Buffer.alloc(14), label]);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries, 4);
  end.writeUInt16LE(entries, 6);
  end.writeUInt32LE(entry.length * entries, 8);
  end.writeUInt32LE(local.length, 12);
  const directory = Array.from({ length: entries }, () => entry);
  const whole = Buffer.concat([local, ...directory, Buffer.from("PK\x05\x06", "latin1"), end]);
  return whole.subarray(0, whole.length - torn);
}

export const gzipOf = (content: Buffer): Buffer => gzipSync(content);

/** A mail with a text for people and one attachment, in base64. */
export function mailWith(
  attachment: Buffer,
  type = "application/gzip",
  subject = "Report Domain: example.org",
): string {
  const lines = attachment.toString("base64").match(/.{1,76}/g) ?? [];
  return [
    "From: reports@receiver.example.net",
    "To: reports@example.org",
    `Subject: ${subject}`,
    "MIME-Version: 1.0",
    'Content-Type: multipart/mixed; boundary="b"',
    "",
    "--b",
    "Content-Type: text/plain",
    "",
    "This is an aggregate report.",
    "--b",
    `Content-Type: ${type}; name="report"`,
    "Content-Transfer-Encoding: base64",
    "",
    ...lines,
    "--b--",
    "",
  ].join("\r\n");
}
