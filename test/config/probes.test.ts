import { describe, expect, test } from "vitest";
import { parseProbes } from "../../src/config/probes.ts";

const smallest = `[submission]
server = "smtp://submission.example.org:587"
login = "probe"
password-file = "/etc/tpa-submit/probe-password"
from = "probe@example.org"
[[route]]
name = "net"
to = "x@example.net"
arrive = "maildir:/home/x/Maildir"
`;

const mistakesIn = (source: string): readonly string[] => {
  const reading = parseProbes(source, "probes.toml");
  return "mistakes" in reading ? reading.mistakes : [];
};

describe("probes.toml", () => {
  test("may be short; all else has its default", () => {
    const reading = parseProbes(smallest, "probes.toml");
    expect(reading).toMatchObject({
      config: {
        directory: "/var/lib/tpa-submit/probe",
        submission: { server: { kind: "smtp", host: "submission.example.org", port: 587 } },
        grades: { spam: "warning", lost: "critical" },
        route: [{ name: "net", warn: 60_000, crit: 600_000, server: null, provider: "" }],
      },
    });
  });

  test.each([
    ["", ["probes.toml:1: route: expected at least one [[route]], found none"]],
    [
      smallest.replace('server = "smtp:', 'server = "mail:'),
      [/^probes\.toml:2: submission\.server: expected "smtp:\/\/HOST:PORT" .*, found "mail:/],
    ],
    [
      smallest.replace(/^server.*\n/m, ""),
      ["probes.toml:5: route.server: expected a server here or in [submission], found neither"],
    ],
    [
      smallest.replace(/^password-file.*\n/m, ""),
      ["probes.toml:5: route.password-file: expected a file with the password for the login, found none"],
    ],
    [
      smallest.replace("maildir:/home/x/Maildir", "imaps://x@mail.example.net"),
      ["probes.toml:6: route.arrive-password-file: expected a file with the mailbox's password, found none"],
    ],
    [
      smallest.replace("maildir:/home/x/Maildir", "imaps://x:secret@mail.example.net"),
      [/^probes\.toml:9: route\.arrive: expected /],
    ],
    [
      smallest.replace("[[route]]", 'returns = "imaps://probe@imap.example.org"\n[[route]]'),
      [
        "probes.toml:1: submission.returns-password-file: expected a file with the mailbox's password, found none",
      ],
    ],
    [`${smallest}warn = "1h"\n`, ["probes.toml:6: route.crit: expected more than warn, found no more"]],
    [
      `${smallest}${smallest.slice(smallest.indexOf("[[route]]"))}`,
      ['probes.toml:11: route.name: expected a name for each route, found "net" twice'],
    ],
    [`${smallest}folder = "x"\n`, [/^probes\.toml:10: route\.folder: no such setting/]],
    [`${smallest}[grade]\n`, ["probes.toml:10: grade: no such table; did you mean [grades]?"]],
    [
      `${smallest}[grades]\nspam = "bad"\n`,
      [
        /^probes\.toml:11: grades\.spam: expected one of "ok", "warning", "critical", "unknown", found "bad"$/,
      ],
    ],
  ])("with a mistake tells file, line and key (%#)", (source, expected) => {
    const found = mistakesIn(source);
    expect(found).toHaveLength(expected.length);
    for (const [index, words] of expected.entries())
      expect(found[index]).toMatch(
        typeof words === "string" ? new RegExp(`^${words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`) : words,
      );
    expect(found.join()).not.toMatch(/secret/);
  });
});
