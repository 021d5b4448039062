/** What options make of a plan, group by group. */
import { describe, expect, test } from "vitest";
import { look, planned, printed } from "./command-line.ts";

const s = "-t bob@example.org -s x";

describe("transport", () => {
  test.each([
    ["-s x:26", { server: "x", port: 26 }],
    ["-s [x]:26", { server: "x", port: 26 }],
    ["-s x/26", { server: "x", port: 26 }],
    ["-s 192.0.2.1:submission", { server: "192.0.2.1", port: 587 }],
    ["-s [2001:db8::1]:26", { server: "2001:db8::1", port: 26 }],
    ["-s 2001:db8::1/26", { server: "2001:db8::1", port: 26 }],
    ["-s 2001:db8::1", { server: "2001:db8::1", port: 25 }],
    ["-s x:26 -p 27", { server: "x", port: 27 }],
    ["-s x -tlsc", { port: 465 }],
    ["-s x --protocol smtps", { port: 465 }],
    ["-s x --protocol ssmtpa -au u -ap p", { port: 465 }],
    ["-s x --protocol ssmtp -tls", { port: 25 }],
    ["-s x --protocol lmtp", { port: 24 }],
    ["-s x --protocol lmtps", { port: 24 }],
    ["-s x --protocol esmtps", { port: 25 }],
    ["-s x --protocol esmtpsa -au u -ap p", { port: 587 }],
    ["-s x --protocol esmtpsa -au u -ap p -p 25", { port: 25 }],
    ["-s x -6 -li [::1]:7", { family: 6, localInterface: "::1", localPort: 7 }],
    ["-s x -li 192.0.2.7:7 -lp 8", { localInterface: "192.0.2.7", localPort: 8 }],
    ["--copy-routing example.net", { copyRouting: "example.net" }],
    ["-t a@example.net,b@example.com --cc c@example.net", { copyRouting: "example.com" }],
    ["-s x --via socks5h://u:p@127.0.0.1:9050", { via: "socks5h://u:p@127.0.0.1:9050" }],
    ["--socket /run/lmtp", { kind: "unix", path: "/run/lmtp" }],
    ["--pipe 'exim -bs'", { kind: "pipe", command: "exim -bs" }],
  ])("%s", async (line, expected) => {
    expect((await planned(`-t bob@example.org ${line}`)).transport).toMatchObject(expected);
  });
});

describe("protocol", () => {
  test.each([
    ["", { core: "esmtp", helo: "host.example.org", from: "alice@host.example.org", timeout: 30_000 }],
    ["--force-getpwuid", { from: "account@host.example.org" }],
    ["-f '<>'", { from: "" }],
    ["--protocol SmTp", { core: "smtp" }],
    ["--timeout 3m", { timeout: 180_000 }],
    ["--timeout 1H", { timeout: 3_600_000 }],
    ["--timeout 0", { timeout: 0 }],
    ["-t 'a@x, b@x,,c@x'", { to: ["a@x", "b@x", "c@x"] }],
    ["--cc c@x --bcc d@x", { to: ["bob@example.org", "c@x", "d@x"] }],
    ["-q BANNER", { quitAfter: "CONNECT" }],
    ["-da ehlo", { dropAfter: "HELO" }],
    ["-das dot", { dropAfterSend: "DOT" }],
    ["--pipeline --prdr", { pipeline: true, prdr: true }],
    ["--bdat", { chunk: Number.MAX_SAFE_INTEGER }],
    ["--chunk 1000", { chunk: 1000 }],
    ["--messages 3", { messages: 3 }],
    ["--mail-parameter SIZE=9 --mail-parameter SMTPUTF8", { mailParameters: ["SIZE=9", "SMTPUTF8"] }],
    ["--rcpt-parameter NOTIFY=NEVER", { rcptParameters: ["NOTIFY=NEVER"] }],
    ["--raw-line 'mail:RCPT TO:<x'", { rawLines: [{ after: "MAIL", line: "RCPT TO:<x" }] }],
    ["--raw-line NOOP", { rawLines: [{ after: "HELO", line: "NOOP" }] }],
    ["--raw-line 'MAIL FROM:<x>'", { rawLines: [{ after: "HELO", line: "MAIL FROM:<x>" }] }],
    ["--raw-line 'a\\x00\\r\\n\\tb\\\\'", { rawLines: [{ after: "HELO", line: "a\0\r\n\tb\\" }] }],
    ["--raw-line ü", { rawLines: [{ after: "HELO", line: "\u00c3\u00bc" }] }],
  ])("%s", async (line, expected) => {
    expect((await planned(`${s} ${line}`)).protocol).toMatchObject(expected);
  });

  test("a comma inside quotes is part of an address", async () => {
    const { outcome } = await look({ argv: ["-s", "x", "-t", '"a,b"@x,c@x'] });
    expect(outcome).toMatchObject({ plan: { protocol: { to: ['"a,b"@x', "c@x"] } } });
  });
});

describe("TLS", () => {
  const files = { "c.pem": "CERT", "k.pem": "KEY", "h.pem": "CHAIN", "ca/a": "-----BEGIN CERTIFICATE-----a" };
  test.each([
    ["-tls", { kind: "starttls", need: "required", verifyCa: false, verifyHost: false }],
    ["-tlso", { need: "optional" }],
    ["-tlso -tlsos -tls", { need: "strict" }],
    ["-tls -tlsc", { kind: "starttls" }],
    ["-tlsc", { kind: "on-connect" }],
    ["--protocol esmtps", { kind: "starttls", need: "required" }],
    ["-tls --tls-verify", { verifyCa: true, verifyHost: true }],
    ["-tls --tls-verify-host --tls-verify-target y", { verifyCa: false, verifyHost: true, target: "y" }],
    ["-tls -tlsp tlsv1_2", { oldest: "TLSv1.2", newest: "TLSv1.2" }],
    ["-tls -tlsp no_tlsv1,no_tlsv1_1", { oldest: "TLSv1.2", newest: "TLSv1.3" }],
    ["-tls --tls-cipher HIGH", { ciphers: "HIGH" }],
    ["-tls --tls-sni y", { sni: "y" }],
    ["-tls --tls-sni '<>'", { sni: "" }],
    ["-tls --tls-get-peer-cert", { saveCertificate: "" }],
    ["-tls --tls-get-peer-chain out.pem", { saveChain: "out.pem" }],
    [
      "-tls --tls-cert c.pem --tls-key k.pem --tls-chain h.pem",
      { certificate: "CERT", key: "KEY", chain: "CHAIN" },
    ],
    ["-tls --tls-ca-path c.pem", { ca: "CERT" }],
    ["-tls --tls-ca-path ca", { ca: "-----BEGIN CERTIFICATE-----a" }],
  ])("%s", async (line, expected) => {
    expect((await planned(`${s} ${line}`, { files })).tls).toMatchObject(expected);
  });

  test("says nothing of SNI or versions unless it is told, so that the server's name and the newest hold", async () => {
    expect(Object.keys((await planned(`${s} -tls`)).tls ?? {}).sort()).toEqual([
      "kind",
      "need",
      "verifyCa",
      "verifyHost",
    ]);
  });
});

describe("authentication", () => {
  test.each([
    ["", { need: "required", types: [], plaintext: false }],
    ["-a any", { types: [] }],
    ["-a login,plain", { types: ["LOGIN", "PLAIN"] }],
    ["-ao -aos CRAM-MD5", { need: "strict", types: ["CRAM-MD5"] }],
    ["-a LOGIN -ao", { need: "optional", types: ["LOGIN"] }],
    [
      "-a scram-sha-256-plus,xoauth2,OAUTHBEARER",
      { types: ["SCRAM-SHA-256-PLUS", "XOAUTH2", "OAUTHBEARER"] },
    ],
    [
      "-a foo --auth-map foo=plain",
      {
        types: ["FOO"],
        map: new Map([
          ["SPA", "NTLM"],
          ["MSN", "NTLM"],
          ["FOO", "PLAIN"],
        ]),
      },
    ],
    [
      "--auth-extra Domain=d,dmd5-host=h",
      {
        extra: new Map([
          ["domain", "d"],
          ["realm", "d"],
          ["dmd5-host", "h"],
        ]),
      },
    ],
    ["-apt -ahp", { plaintext: true, hide: "PROVIDED_BUT_REMOVED" }],
    ["-ahp xxx", { hide: "xxx" }],
  ])("%s", async (line, expected) => {
    expect((await planned(`${s} -au u -ap p ${line}`)).auth).toMatchObject(expected);
  });

  test("is not begun by options that only shape it", async () => {
    expect((await planned(`${s} -apt -ahp --auth-map X=PLAIN`)).auth).toBeUndefined();
  });
});

describe("XCLIENT", () => {
  test.each([
    [
      "--xclient-name a --xclient-addr 'b c'",
      { need: "required", commands: ["NAME=a ADDR=b+20c"], attributes: ["NAME", "ADDR"] },
    ],
    ["--xclient-addr 1 --xclient-delim --xclient-delim --xclient-port 2", { commands: ["ADDR=1", "PORT=2"] }],
    ["--xclient-addr 1 --xclient 'FOO=a b' --xclient-helo h", { commands: ["ADDR=1", "FOO=a b", "HELO=h"] }],
    ["--xclient-login u --xclient-no-verify", { attributes: [] }],
    ["--xclient x --xclient-optional --xclient-before-starttls", { need: "optional", beforeTls: true }],
    ["--xclient x --xclient-optional-strict", { need: "strict" }],
  ])("%s", async (line, expected) => {
    expect((await planned(`${s} ${line}`)).xclient).toMatchObject(expected);
  });

  test("is not begun by options that only shape it", async () => {
    expect((await planned(`${s} --xclient-optional --xclient-delim`)).xclient).toBeUndefined();
  });
});

describe("PROXY", () => {
  const parts =
    "--proxy-source 192.0.2.7 --proxy-source-port 258 --proxy-dest 192.0.2.25 --proxy-dest-port 25";
  const six = parts.replace("192.0.2.7", "2001:db8::7").replace("192.0.2.25", "::ffff:192.0.2.25");
  const signature = "0d0a0d0a000d0a515549540a";
  const hex = (text: string): string => Buffer.from(text).toString("hex");
  test.each([
    [`--proxy-family TCP4 ${parts}`, 1, hex("PROXY TCP4 192.0.2.7 192.0.2.25 258 25\r\n")],
    ["--proxy 'TCP4 x'", 1, hex("PROXY TCP4 x\r\n")],
    ["--proxy 'PROXY TCP4 x'", 1, hex("PROXY TCP4 x\r\n")],
    ["--proxy base64:UFJPWFkgeA==", 1, hex("PROXY x\r\n")],
    ["--proxy @header", 1, hex("PROXY TCP4 x\r\n")],
    [`--proxy-version 2 --proxy-family AF_INET ${parts}`, 2, `${signature}2111000cc0000207c000021901020019`],
    [
      `--proxy-version 2 --proxy-family AF_INET6 --proxy-protocol dgram --proxy-command local ${six}`,
      2,
      `${signature}2022002420010db800000000000000000000000700000000000000000000ffffc000021901020019`,
    ],
    [
      `--proxy-version 2 --proxy-family AF_UNSPEC --proxy-protocol UNSPEC ${parts}`,
      2,
      `${signature}21000000`,
    ],
    ["--proxy-version 2 --proxy base64:IREADA==", 2, `${signature}2111000c`],
  ])("%s", async (line, version, expected) => {
    const { proxy } = await planned(`${s} ${line}`, { files: { header: "TCP4 x\n" } });
    expect([proxy?.version, Buffer.from(proxy?.octets ?? "").toString("hex")]).toEqual([version, expected]);
  });

  test("refuses an address that is none of the family", async () => {
    const line = `${s} --proxy-version 2 --proxy-family AF_INET ${six}`;
    await expect(planned(line)).rejects.toThrow("--proxy-source 2001:DB8::7 is no address of the family");
  });
});

describe("output", () => {
  const usual = { send: true, receive: true, info: true };
  test.each([
    ["", { hints: usual, silent: 0, raw: false, stdout: "&STDOUT", stderr: "&STDERR", json: false }],
    ["-nth", { hints: { send: false, receive: false, info: false } }],
    ["-nsh", { hints: { ...usual, send: false } }],
    ["-nrh -nih", { hints: { send: true, receive: false, info: false } }],
    ["-hs -hi", { hide: { send: true, receive: false, info: true, all: false } }],
    ["-S", { silent: 1 }],
    ["-S 2", { silent: 2 }],
    ["-S 7", { silent: 1 }],
    ["-stl", { timeLapse: "fraction" }],
    ["-stl Integer", { timeLapse: "integer" }],
    ["-n -raw --explain --json", { suppressData: true, raw: true, explain: true, json: true }],
    ["--output all --output-file-stderr '&STDOUT'", { stdout: "all", stderr: "&STDOUT" }],
  ])("%s", async (line, expected) => {
    expect((await planned(`${s} ${line}`)).output).toMatchObject(expected);
  });
});

describe("the message", () => {
  const message = async (line: string, given = {}): Promise<string> =>
    (await printed(`${s} ${line} --dump-mail`, given)).replaceAll("\r\n", "\n");

  test.each([
    ["--body hello", {}, "\nhello\n"],
    ["--body @f", { files: { f: "file" } }, "\nfile\n"],
    ["--body @@f", {}, "\n@f\n"],
    ["--body -", { input: "input" }, "\ninput\n"],
    ["-g", { input: "A: b\n\ninput" }, "A: b\n\ninput"],
    ["-g -d 'A: b\\n\\nc'", { input: "input" }, "A: b\n\nc"],
    ["--h-Subject Hello", {}, "\nSubject: Hello\n"],
    ["--add-header 'X-Test: 1'", {}, "\nX-Test: 1\n"],
    ["--attach-name a --attach x", {}, 'filename="a"'],
    ["--attach @dir/f.txt", { files: { "dir/f.txt": "x" } }, 'filename="f.txt"'],
    ["--attach-type text/html --attach-body x", {}, "Content-Type: text/html"],
    ["--cc c@x", {}, "\nCc: c@x\n"],
    ["-d '%DATE%' -ndf", {}, "%DATE%"],
    ["--dump-as-body auth -au u -ap p", {}, "password       = 'PROVIDED_BUT_REMOVED'"],
    ["--dump-as-body auth -au u -ap p -ahp x", {}, "password       = 'x'"],
    ["-dabsp -au u -ap p", {}, "password       = 'p'"],
  ])("%s", async (line, given, expected) => {
    expect(await message(line, given)).toContain(expected);
  });
});
