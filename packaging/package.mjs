/**
 * `npm run package [-- FOLDER]`: the Debian packages, in packages/ or FOLDER. One takes Debian 13's Node.js, one brings
 * its own for Debian 12; `--flavour` names the only one that is wanted, `--no-compression` is for haste. The same tree gives
 * the same octets.
 * docs/install.md tells what is in them.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { fetchNode, machineOf, nodeVersion } from "./node.mjs";
import { readText, releases, root, sourceDate, spoolFormat, version } from "./project.mjs";

/** Whom Debian's tools name. The project has no mail address; whoever publishes packages sets one of theirs. */
const maintainer = process.env["DEBFULLNAME"]
  ? `${process.env["DEBFULLNAME"]} <${process.env["DEBEMAIL"] ?? "maintainers@tpa-submit.invalid"}>`
  : "tpa-submit maintainers <maintainers@tpa-submit.invalid>";

/** What maintainer scripts ask before a restart. */
const check = "tpa-submit check --offline";

/**
 * @typedef {object} Flavour
 * @property {string} version
 * @property {string} architecture Debian's word
 * @property {readonly string[]} depends
 * @property {string} node the program behind "#!"
 * @property {string} text the last sentence of the description
 * @property {string | undefined} machine npm's word, where Node.js comes along
 */

/** @type {Record<string, () => Flavour>} */
const flavours = {
  debian13: () => ({
    version,
    architecture: "all",
    depends: ["nodejs (>= 20.19)"],
    node: "/usr/bin/node",
    text: "",
    machine: undefined,
  }),
  // "~": a host that is upgraded to Debian 13 takes the other one.
  debian12: () => ({
    version: `${version}~deb12+node${nodeVersion}`,
    architecture: machineOf(process.arch).debian,
    depends: ["libc6 (>= 2.28)", "libgcc-s1 (>= 3.4)", "libstdc++6 (>= 5.2)"],
    node: "/usr/lib/tpa-submit/node",
    text: `\n .\n This package brings Node.js ${nodeVersion} along, for Debian 12 has an older one.`,
    machine: process.arch,
  }),
};

/** Program files and data: from the project, to the package, mode where it is not 0644. Folders are taken whole. */
const files = /** @type {const} */ ([
  ["etc/systemd/tpa-submit.service", "usr/lib/systemd/system/tpa-submit.service"],
  ["etc/systemd/tpa-submit-submission.socket", "usr/lib/systemd/system/tpa-submit-submission.socket"],
  ["etc/systemd/tpa-submit-submissions.socket", "usr/lib/systemd/system/tpa-submit-submissions.socket"],
  ["etc/systemd/tpa-submit-sync.service", "usr/lib/systemd/system/tpa-submit-sync.service"],
  ["etc/systemd/tpa-submit-portal.service", "usr/lib/systemd/system/tpa-submit-portal.service"],
  ["etc/systemd/tpa-submit-probe.service", "usr/lib/systemd/system/tpa-submit-probe.service"],
  ["etc/systemd/tpa-submit-probe.timer", "usr/lib/systemd/system/tpa-submit-probe.timer"],
  ["etc/systemd/sysusers.conf", "usr/lib/sysusers.d/tpa-submit.conf"],
  ["etc/systemd/tmpfiles.conf", "usr/lib/tmpfiles.d/tpa-submit.conf"],
  ["etc/certificates/install-certificate", "usr/lib/tpa-submit/certificates/install-certificate", 0o755],
  ["etc/certificates/dehydrated", "usr/lib/tpa-submit/certificates/dehydrated", 0o755],
  ["etc/certificates/lego", "usr/lib/tpa-submit/certificates/lego", 0o755],
  ["etc/certificates/certbot", "etc/letsencrypt/renewal-hooks/deploy/tpa-submit", 0o755],
  ["etc/logrotate/tpa-submit", "etc/logrotate.d/tpa-submit"],
  ["etc/fail2ban/jail.d/tpa-submit.conf", "etc/fail2ban/jail.d/tpa-submit.conf"],
  ["etc/tpa-submit.example.toml", "usr/share/doc/tpa-submit/examples/tpa-submit.toml"],
  ["etc/probes.example.toml", "usr/share/doc/tpa-submit/examples/probes.toml"],
  ["etc/prometheus", "usr/share/doc/tpa-submit/examples/prometheus"],
  ["etc/grafana", "usr/share/doc/tpa-submit/examples/grafana"],
  ["etc/nagios", "usr/share/doc/tpa-submit/examples/nagios"],
  ["etc/icinga2", "usr/share/doc/tpa-submit/examples/icinga2"],
  ["etc/cron", "usr/share/doc/tpa-submit/examples/cron"],
  ["etc/mtail", "usr/share/doc/tpa-submit/examples/mtail"],
  ["etc/rsyslog", "usr/share/doc/tpa-submit/examples/rsyslog"],
]);

/** Programs that postinst offers as alternatives, and what sendmail is told first. */
const mailPrograms = { sendmail: "", mailq: "-bp ", newaliases: "-bi " };

/** Where each shell looks for completions. */
const completions = {
  bash: "usr/share/bash-completion/completions/tpa-submit",
  zsh: "usr/share/zsh/vendor-completions/_tpa-submit",
  fish: "usr/share/fish/vendor_completions.d/tpa-submit.fish",
};

/**
 * @param {string} path
 * @param {string | Uint8Array} content
 * @param {number} mode
 */
function put(path, content, mode = 0o644) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  chmodSync(path, mode);
}

/** As Debian's policy wants documents: without a name and a time inside. @param {string} text */
const gzip = (text) => execFileSync("gzip", ["-9n"], { input: text, maxBuffer: 1 << 26 });

/**
 * Everything in the package, below `tree`.
 * @param {string} tree
 * @param {Flavour} flavour
 */
function fill(tree, flavour) {
  const program = join(tree, "usr/lib/tpa-submit");
  execFileSync(process.execPath, [join(root, "packaging/bundle.mjs"), program], { stdio: "inherit" });
  const launcher = join(program, "bin/tpa-submit");
  const lines = readFileSync(launcher, "utf8");
  put(launcher, lines.replace(/^#!.*/, `#!${flavour.node}`), 0o755);
  mkdirSync(join(tree, "usr/bin"), { recursive: true });
  execFileSync("ln", ["-s", "../lib/tpa-submit/bin/tpa-submit", join(tree, "usr/bin/tpa-submit")]);

  for (const [name, words] of Object.entries(mailPrograms)) {
    put(join(program, name), `#!/bin/sh\nexec /usr/bin/tpa-submit sendmail ${words}"$@"\n`, 0o755);
  }
  for (const [from, to, mode = 0o644] of files) {
    mkdirSync(dirname(join(tree, to)), { recursive: true });
    cpSync(join(root, from), join(tree, to), { recursive: true });
    if (lstatSync(join(tree, to)).isFile()) chmodSync(join(tree, to), mode);
  }
  put(join(tree, "etc/tpa-submit/tpa-submit.toml"), configuration(readText("etc/tpa-submit.example.toml")));
  for (const name of readdirSync(join(root, "man"))) {
    put(join(tree, `usr/share/man/man${name.slice(-1)}/${name}.gz`), gzip(readText(`man/${name}`)));
  }
  for (const [shell, to] of Object.entries(completions)) {
    const { status, stdout } = spawnSync(process.execPath, [launcher, "completion", shell]);
    if (status === 0) put(join(tree, to), stdout);
    else
      process.stderr.write(`package: no completions for ${shell}: tpa-submit completion does not know it\n`);
  }
  const licences = [readText("LICENSE"), readFileSync(join(program, "LICENSES.txt"), "utf8")];
  for (const name of ["LICENSE", "LICENSES.txt"]) rmSync(join(program, name));
  if (flavour.machine !== undefined) {
    const node = fetchNode(flavour.machine);
    put(join(program, "node"), readFileSync(join(node, "bin/node")), 0o755);
    licences.push(`Node.js ${nodeVersion}:\n\n${readFileSync(join(node, "LICENSE"), "utf8")}`);
  }
  const overrides = flavour.machine === undefined ? ["lintian"] : ["lintian", "lintian.node"];
  put(
    join(tree, "usr/share/lintian/overrides/tpa-submit"),
    overrides.map((name) => readText(`packaging/debian/${name}`)).join(""),
  );
  const documents = join(tree, "usr/share/doc/tpa-submit");
  put(join(documents, "README.Debian"), filled("README.Debian", { CHECK: check }));
  put(join(documents, "copyright"), `${licences.join("\n\n")}`);
  put(join(documents, "changelog.gz"), gzip(debianChangelog(flavour)));
  put(join(documents, "CHANGELOG.md.gz"), gzip(readText("CHANGELOG.md")));
}

/**
 * The example with every setting behind "#", for its defaults are in force without it. Tables stay.
 * @param {string} example
 */
export function configuration(example) {
  return example
    .replace(/^([a-z][a-z-]* *= )/gm, "# $1")
    .replace(/^# `tpa-submit check`/m, '# Remove the "# " before what you change. `tpa-submit check`');
}

/** @param {Flavour} flavour */
function debianChangelog(flavour) {
  return releases
    .map((release, at) => {
      const number = at === 0 ? flavour.version : release.version;
      const date = new Date(release.seconds * 1000).toUTCString().replace("GMT", "+0000");
      return `tpa-submit (${number}) stable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- ${maintainer}  ${date}\n`;
    })
    .join("\n");
}

/**
 * The control files, made from what is in `tree`.
 * @param {string} tree
 * @param {Flavour} flavour
 */
function control(tree, flavour) {
  const paths = everything(tree).filter((path) => lstatSync(join(tree, path)).isFile());
  const size = paths.reduce((sum, path) => sum + Math.ceil(lstatSync(join(tree, path)).size / 1024), 0);
  /** @type {Record<string, string>} */
  const values = {
    VERSION: flavour.version,
    ARCHITECTURE: flavour.architecture,
    MAINTAINER: maintainer,
    SIZE: String(size),
    DEPENDS: [...flavour.depends, "systemd"].join(", "),
    DESCRIPTION: "outgoing mail server that an organisation's people log in to",
    FLAVOUR: flavour.text,
    SPOOL_FORMAT: String(spoolFormat()),
    CHECK: check,
  };
  const folder = join(tree, "DEBIAN");
  for (const name of ["control", "preinst", "postinst", "prerm", "postrm"]) {
    put(join(folder, name), filled(name, values), name === "control" ? 0o644 : 0o755);
  }
  const sums = paths.map((path) => {
    const sum = createHash("md5")
      .update(readFileSync(join(tree, path)))
      .digest("hex");
    return `${sum}  ${path}\n`;
  });
  put(join(folder, "md5sums"), sums.join(""));
  const conffiles = paths.filter((path) => path.startsWith("etc/")).map((path) => `/${path}\n`);
  put(join(folder, "conffiles"), conffiles.join(""));
}

/**
 * A file of packaging/debian with `values` in place of its @NAMES@.
 * @param {string} name
 * @param {Record<string, string>} values
 */
function filled(name, values) {
  return readText(`packaging/debian/${name}`).replace(/@([A-Z_]+)@/g, (_, key) => {
    const value = values[key];
    if (value === undefined) throw new Error(`packaging/debian/${name}: nothing to put in place of @${key}@`);
    return value;
  });
}

/** All paths below `tree`, sorted, relative to it. @param {string} tree @returns {string[]} */
function everything(tree) {
  return readdirSync(tree, { recursive: true, withFileTypes: true })
    .map((entry) => relative(tree, join(entry.parentPath, entry.name)))
    .sort();
}

/**
 * Builds one package in `folder`; returns its path.
 * @param {Flavour} flavour
 * @param {string} folder
 */
function build(flavour, folder) {
  const tree = mkdtempSync(join(tmpdir(), "tpa-submit-package-"));
  try {
    process.umask(0o022);
    chmodSync(tree, 0o755);
    fill(tree, flavour);
    control(tree, flavour);
    const seconds = sourceDate();
    for (const path of [...everything(tree).toReversed(), "."]) {
      if (lstatSync(join(tree, path)).isDirectory()) chmodSync(join(tree, path), 0o755);
      lutimesSync(join(tree, path), seconds, seconds);
    }
    const file = join(folder, `tpa-submit_${flavour.version}_${flavour.architecture}.deb`);
    execFileSync("dpkg-deb", ["--root-owner-group", ...compression, "--build", tree, file], {
      env: { ...process.env, SOURCE_DATE_EPOCH: String(seconds) },
      stdio: ["ignore", "ignore", "inherit"],
    });
    return file;
  } finally {
    rmSync(tree, { recursive: true });
  }
}

const { values, positionals } = parseArgs({
  options: {
    flavour: { type: "string", multiple: true, default: Object.keys(flavours) },
    "no-compression": { type: "boolean", default: false },
  },
  allowPositionals: true,
});
// Node.js is large: more than the fastest xz would take minutes for a tenth of its size.
const compression = values["no-compression"] ? ["-Znone"] : ["-Zxz", "-z1"];
const folder = resolve(positionals[0] ?? join(root, "packages"));
mkdirSync(folder, { recursive: true });
for (const name of values.flavour) {
  const flavour = Object.entries(flavours).find(([known]) => known === name)?.[1];
  if (!flavour) {
    process.stderr.write(
      `package: there is no flavour ${name}, only ${Object.keys(flavours).join(" and ")}\n`,
    );
    process.exit(64);
  }
  process.stdout.write(`${build(flavour(), folder)}\n`);
}
