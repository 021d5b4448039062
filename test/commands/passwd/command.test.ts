import { describe, expect, test } from "vitest";
import { schemes } from "../../../src/passwd/schemes.ts";
import { passwd } from "../../passwd/program.ts";

const md5 = "$1$o8vJpPVD$ZADWRpY5krq2l8aA3AK2R/"; // correct horse
const bcrypt = "$2y$05$6gKfOJhm6Wm1ExJVUEvtouXhYGvqiq./2VSg0EiS9BSa08rPMrDvG"; // correct horse

interface Case {
  readonly argv: readonly string[];
  readonly input?: string;
  readonly status: number;
  readonly stdout?: RegExp;
  readonly stderr?: RegExp;
}

const cases: Readonly<Record<string, Case>> = {
  "hashes with bcrypt at cost 10 unless told otherwise": {
    argv: ["-p", "x"],
    status: 0,
    stdout: /^\{CRYPT\}\$2y\$10\$.{53}\n$/,
    stderr: /^$/,
  },
  "takes the scheme in any case and prints it in upper case, with its suffix": {
    argv: ["-sssha.b64", "-p", "x"],
    status: 0,
    stdout: /^\{SSHA\.B64\}\S{32}\n$/,
    stderr: /^tpa-submit passwd: warning: weak: .*; better are BLF-CRYPT and ARGON2ID\n$/,
  },
  "verifies what it made with -V, and takes joined short options": {
    argv: ["-Vs", "SHA512-CRYPT", "-p", "x"],
    status: 0,
    stdout: /^\{SHA512-CRYPT\}\$6\$.{16}\$.{86} \(verified\)\n$/,
  },
  "uses the rounds that are asked for": {
    argv: ["-s", "SHA256-CRYPT", "-r", "1000", "-p", "x"],
    status: 0,
    stdout: /^\{SHA256-CRYPT\}\$5\$rounds=1000\$/,
    stderr: /weak: 1000 rounds are quickly guessed/,
  },
  "says that rounds change nothing where a scheme has none": {
    argv: ["-s", "SSHA", "-r", "12", "-p", "x"],
    status: 0,
    stderr: /SSHA has no rounds; -r 12 changes nothing/,
  },
  "takes 0 rounds for the standard": { argv: ["-r", "0", "-p", "x"], status: 0, stdout: /\$10\$/ },
  "refuses rounds outside of the limits": {
    argv: ["-s", "BLF-CRYPT", "-r", "31", "-p", "x"],
    status: 75,
    stderr: /^tpa-submit passwd: BLF-CRYPT takes 4 to 15 rounds, not 31\n$/,
  },
  ...Object.fromEntries(
    ["abc", "12x", "1.5", "-1", "0x0c", "", "+12"].map((rounds) => [
      `refuses ${JSON.stringify(rounds)} as rounds`,
      { argv: ["-r", rounds, "-p", "x"], status: 64, stdout: /^$/, stderr: /expected a whole number/ },
    ]),
  ),
  "refuses an unknown scheme, and guesses what was meant": {
    argv: ["-s", "BLFCRYPT", "-p", "x"],
    status: 75,
    stdout: /^$/,
    stderr: /^tpa-submit passwd: unknown scheme "BLFCRYPT"; did you mean BLF-CRYPT\?\n$/,
  },
  "refuses words that belong to no option": { argv: ["-p", "x", "extra"], status: 64, stdout: /^$/ },
  "refuses an unknown option": { argv: ["--bogus"], status: 64, stdout: /^$/ },
  "refuses two deeds at once": {
    argv: ["--set", "a", "--delete", "b"],
    status: 64,
    stderr: /--set and --delete/,
  },
  "refuses two passwords": {
    argv: ["-p", "x", "--generate"],
    status: 64,
    stderr: /--plaintext and --generate/,
  },
  "wants a user for DIGEST-MD5": {
    argv: ["-s", "DIGEST-MD5", "-p", "x"],
    status: 75,
    stderr: /-u user@realm/,
  },
  "hashes an empty password only where it is meant, and warns": {
    argv: ["-p", "", "-s", "SSHA"],
    status: 0,
    stderr: /the password is empty/,
  },
  "hashes a password that begins with a dash": {
    argv: ["-p", "-x", "-s", "PLAIN"],
    status: 0,
    stdout: /^\{PLAIN\}-x\n$/,
  },
  "does not print a password with a line break as two lines": {
    argv: ["-p", "a\nb", "-s", "PLAIN"],
    status: 75,
    stdout: /^$/,
    stderr: /use -s PLAIN\.B64/,
  },
  "refuses a password that bcrypt would cut": {
    argv: ["-p", "x".repeat(73)],
    status: 75,
    stdout: /^$/,
    stderr: /at most 72 octets, and this one has 73/,
  },
  "refuses a password that libc would answer with *0": {
    argv: ["-s", "SHA512-CRYPT", "-p", "x".repeat(512)],
    status: 75,
    stdout: /^$/,
  },

  "reads the password twice from a pipe": {
    argv: ["-s", "PLAIN"],
    input: "a b\na b\n",
    status: 0,
    stdout: /^\{PLAIN\}a b\n$/,
  },
  "reads it twice with the line ends of Windows, too": {
    argv: ["-s", "PLAIN"],
    input: "a\r\na\r\n",
    status: 0,
    stdout: /^\{PLAIN\}a\n$/,
  },
  "refuses one line in a pipe": { argv: [], input: "abc\n", status: 75, stdout: /^$/, stderr: /only once/ },
  "refuses nothing in a pipe": { argv: [], status: 75, stdout: /^$/, stderr: /no password/ },
  "refuses two empty lines in a pipe": { argv: [], input: "\n\n", status: 75, stdout: /^$/, stderr: /-p ''/ },
  "refuses two lines that differ": {
    argv: [],
    input: "a\nb\n",
    status: 1,
    stdout: /^$/,
    stderr: /not the same/,
  },
  "reads it once with --stdin": {
    argv: ["--stdin", "-s", "PLAIN"],
    input: "pä ss",
    status: 0,
    stdout: /^\{PLAIN\}pä ss\n$/,
  },
  "refuses nothing with --stdin": { argv: ["--stdin"], status: 75, stdout: /^$/ },

  "prints the bare hash that userdir-ldap wants": {
    argv: ["--no-prefix", "-p", "x"],
    status: 0,
    stdout: /^\$2y\$10\$.{53}\n$/,
  },
  "does not print a bare hash that nobody could read": {
    argv: ["--no-prefix", "-s", "SSHA", "-p", "x"],
    status: 64,
    stdout: /^$/,
    stderr: /leave out --no-prefix/,
  },
  "prints JSON": {
    argv: ["--json", "-s", "BLF-CRYPT", "-r", "5", "-p", "x"],
    status: 0,
    stdout:
      /^\{"hash":"\{BLF-CRYPT\}\$2y\$05\$.{53}","scheme":"BLF-CRYPT","algorithm":"BLF-CRYPT","cost":"cost 5","weakness":"cost 5 is quickly guessed","verified":false\}\n$/,
  },
  "makes a password and shows it once, beside the output": {
    argv: ["--generate", "--no-prefix"],
    status: 0,
    stdout: /^\$2y\$10\$.{53}\n$/,
    stderr: /shown only now: ([a-z]{5}-){3}[a-z]{5}\n$/,
  },

  "tests a hash": {
    argv: ["-t", `{blf-crypt}${bcrypt}`, "-p", "correct horse"],
    status: 0,
    stdout: /^\{blf-crypt\}\$2y\S+ \(verified\)\n$/,
  },
  "tests a bare md5-crypt string and names its scheme": {
    argv: ["-t", md5, "-p", "correct horse"],
    status: 0,
    stdout: /^\{MD5-CRYPT\}\$1\$\S+ \(verified\)\n$/,
  },
  "tests with a password from a pipe, once": { argv: ["-t", md5], input: "correct horse\n", status: 0 },
  "says when the password is another": {
    argv: ["-t", md5, "-p", "x"],
    status: 75,
    stdout: /^$/,
    stderr: /does not belong/,
  },
  "says when a hash is damaged": {
    argv: ["-t", "{SHA1}abc", "-p", "x"],
    status: 75,
    stdout: /^$/,
    stderr: /neither hex nor base64/,
  },
  "says when a hash is of no known scheme": {
    argv: ["-t", "{NOPE}abc", "-p", "x"],
    status: 75,
    stderr: /unknown scheme \{NOPE\}/,
  },
  "tests an empty hash without a crash": { argv: ["-t", "", "-p", "x"], status: 75, stderr: /no password/ },

  "tells what a hash is": {
    argv: ["--check", bcrypt],
    status: 0,
    stdout:
      /^scheme +BLF-CRYPT\nalgorithm +BLF-CRYPT\ncost +cost 5\nfit for use +no: cost 5 is quickly guessed\ninstead +BLF-CRYPT with cost 10/,
  },
  "tells what a hash behind a general prefix is": {
    argv: ["--json", "--check", `{CRYPT}${md5}`],
    status: 0,
    stdout: /"scheme":"CRYPT","algorithm":"MD5-CRYPT","cost":"1000 rounds"/,
  },
  "tells why a hash is of no use": {
    argv: ["--check", "$y$j9T$x$y"],
    status: 75,
    stdout: /^$/,
    stderr: /yescrypt/,
  },
};

describe("tpa-submit passwd", () => {
  test.each(Object.entries(cases))("%s", async (_, { argv, input, status, stdout, stderr }) => {
    const result = await passwd(argv, input);
    expect(result).toMatchObject({ status });
    if (stdout) expect(result.stdout).toMatch(stdout);
    if (stderr) expect(result.stderr).toMatch(stderr);
  });

  test("lists the schemes on one line, as doveadm does", async () => {
    const { stdout } = await passwd(["-l", "-t", "ignored"]);
    expect(stdout).toBe(`${schemes.map(({ name }) => name).join(" ")} \n`);
  });

  test("lists them with their fitness in JSON", async () => {
    const listed = JSON.parse((await passwd(["-l", "--json"])).stdout) as readonly {
      name: string;
      fit: boolean;
    }[];
    expect(
      listed
        .filter(({ fit }) => fit)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(["ARGON2I", "ARGON2ID", "BLF-CRYPT", "CRYPT", "SHA256-CRYPT", "SHA512-CRYPT"]);
  });
});
