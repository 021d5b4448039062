/** `tpa-submit completion`, with the real shells: what they make of a line on which Tab is pressed. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program } from "../../demo/program.mjs";
import { type CompletedCommand, shells } from "../../src/cli/completion.ts";
import { commands as completed } from "../../src/commands/completion.ts";
import { commands } from "../../src/main.ts";
import { real } from "../tools/real.ts";
import { typeTo } from "../tools/terminal.ts";

const run = (...words: readonly string[]) =>
  spawnSync(process.execPath, [program, ...words], { encoding: "utf8" });

const each = Object.keys(shells);

test("every command is completed", () => {
  expect(Object.keys(completed)).toEqual(Object.keys(commands));
});

describe.each(each)("tpa-submit completion %s", (shell) => {
  test("has every option of every command, and the words that it takes", async () => {
    const { status, stdout, stderr } = run("completion", shell);
    expect([status, stderr]).toEqual([0, ""]);
    const all = await Promise.all(Object.values(completed).map((one) => one()));
    const look = ({ options, subcommands, argument }: CompletedCommand): void => {
      const values = [argument, ...options.map(({ value }) => value)];
      const words = values.flatMap((value) => (value?.kind === "words" ? value.words : []));
      const names = options.flatMap((option) => option.names);
      for (const name of names.map((one) => (shell === "fish" ? ` ${one.replace(/^-+/, "")} ` : one)))
        expect(stdout).toContain(name);
      for (const word of words) expect(stdout).toContain(word);
      subcommands.forEach(look);
    };
    all.forEach(look);
  });
});

test.skipIf(!real("zsh"))("zsh can read its script", () => {
  const { stdout } = run("completion", "zsh");
  const { status, stderr } = spawnSync("zsh", ["-fn"], { encoding: "utf8", input: stdout });
  expect([status, stderr]).toEqual([0, ""]);
});

test("a shell that is not known is a mistake", () => {
  const { status, stdout, stderr } = run("completion", "tcsh");
  expect(stderr).toBe(
    'tpa-submit completion: expected bash, zsh or fish, found "tcsh"; see tpa-submit completion --help\n',
  );
  expect([status, stdout]).toEqual([64, ""]);
});

/** Each shell as a person has it, who has put the script where the manual says. Ctrl-X shows the line. */
const setups: Readonly<
  Record<string, { readonly command: string; readonly files: (script: string) => Files }>
> = {
  bash: {
    command: "bash --rcfile FOLDER/bashrc -i",
    files: (script) => ({
      completion: script,
      bashrc: `. FOLDER/completion
bind -x '"\\C-x": printf "<%s>\\n" "$READLINE_LINE"'
PS1='ready> '
`,
    }),
  },
  zsh: {
    command: "zsh -d -i", // without the files of the host
    files: (script) => ({
      "functions/_tpa-submit": script,
      ".zshrc": `fpath=(FOLDER/functions $fpath)
autoload -Uz compinit && compinit -D -u
KEYTIMEOUT=1
show() { zle -I; print -r -- "<$BUFFER>"; BUFFER= }
zle -N show && bindkey '^X' show
unsetopt prompt_sp
PS1='ready> '
`,
    }),
  },
  fish: {
    command: "fish -i",
    files: (script) => ({
      "fish/completions/tpa-submit.fish": script,
      "data/fish/generated_completions/none.fish": "", // or fish reads all manuals at its first start
      "fish/config.fish": `set -g fish_greeting
function fish_prompt; echo -n 'ready> '; end
function fish_user_key_bindings; bind \\cx 'printf "\\n<%s>\\n" (commandline)'; end
`,
    }),
  },
};

type Files = Readonly<Record<string, string>>;

describe.each(Object.keys(setups))("in %s, Tab", (shell) => {
  const setup = setups[shell];
  let folder = "";

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "tpa-submit-completion-"));
    writeFileSync(join(folder, "tpa-submit"), "#!/bin/sh\n", { mode: 0o755 });
    for (const [name, text] of Object.entries(setup?.files(run("completion", shell).stdout) ?? {})) {
      mkdirSync(join(folder, name, ".."), { recursive: true });
      writeFileSync(join(folder, name), text.replaceAll("FOLDER", folder));
    }
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 500 }));

  /** The line after Tab; what a shell puts behind a whole word is cut off. */
  async function tab(line: string): Promise<string | undefined> {
    const environment = {
      ...{
        HOME: folder,
        ZDOTDIR: folder,
        XDG_CONFIG_HOME: folder,
        XDG_DATA_HOME: join(folder, "data"),
        TERM: "vt100",
      },
      PATH: `${folder}${delimiter}${process.env["PATH"] ?? ""}`,
    };
    const { shown } = await typeTo(
      setup?.command.replaceAll("FOLDER", folder) ?? "",
      [
        ["ready> ", `${line}\t\x18`],
        [">\r\n", "\x15exit\n"],
      ],
      environment,
    );
    return /<(tpa-submit .*?)[ =]*>/.exec(shown)?.[1];
  }

  test.skipIf(!real(shell, "script")).each([
    ["tpa-submit qu", "tpa-submit queue"],
    ["tpa-submit queue li", "tpa-submit queue list"],
    ["tpa-submit queue list --d", "tpa-submit queue list --domain"],
    ["tpa-submit queue --d", "tpa-submit queue --domain"],
    ["tpa-submit queue show 65D3997B8000 --b", "tpa-submit queue show 65D3997B8000 --body"],
    ["tpa-submit queue list --status wai", "tpa-submit queue list --status waiting"],
    ["tpa-submit queue list --status=wai", "tpa-submit queue list --status=waiting"],
    ["tpa-submit queue list --user queue --old", "tpa-submit queue list --user queue --older-than"],
    ["tpa-submit serve --config /etc/passw", "tpa-submit serve --config /etc/passwd"],
    ["tpa-submit serve --stat", "tpa-submit serve --stat"],
    ["tpa-submit sync --allow-s", "tpa-submit sync --allow-shrink"],
    ["tpa-submit passwd --as", "tpa-submit passwd --as-admin"],
    ["tpa-submit probe moni", "tpa-submit probe monitor"],
    ["tpa-submit probe monitor --prom", "tpa-submit probe monitor --prometheus"],
    ["tpa-submit probe --auth-password-f", "tpa-submit probe --auth-password-file"],
    ["tpa-submit completion fi", "tpa-submit completion fish"],
  ])("makes %j to %j", async (line, whole) => {
    expect(await tab(line)).toBe(whole);
  });
});
