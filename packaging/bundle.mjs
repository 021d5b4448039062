/**
 * `npm run bundle [-- FOLDER]`: the program with all that it needs in one folder, which runs where no package is
 * installed. The same tree gives the same octets. docs/architecture.md tells what is in the folder.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const root = fileURLToPath(new URL("../", import.meta.url));
const source = join(root, "src");

/** @param {string} message @returns {never} */
function stop(message) {
  process.stderr.write(`bundle: ${message}\n`);
  process.exit(1);
}

/**
 * Every chunk lies beside main.js, whatever folder its sources are in: what a source names relative to itself is
 * found from there. `queue/list.ts` becomes `queue-list.js`.
 * @param {string} file
 */
const flatName = (file) =>
  relative(source, file)
    .replace(/^commands\//, "")
    .replaceAll(sep, "-")
    .replace(/\.ts$/, ".js");

/**
 * A file that a source names by `new URL("…", import.meta.url)`: another thread's program becomes an entry of its own.
 * Anything else is named here, or stops the build, so that no file is missed that is only opened at run time.
 * @type {import("rolldown").Plugin}
 */
const filesBeside = {
  name: "files-beside",
  transform(code, id) {
    if (!id.startsWith(source) || !code.includes("import.meta")) return undefined;
    const moved = code.replace(/new URL\(\s*"([^"]+)",\s*import\.meta\.url\s*,?\s*\)/g, (_, path) => {
      if (resolve(dirname(id), path) === join(root, "package.json"))
        return `new URL("../package.json", import.meta.url)`;
      const thread = resolve(dirname(id), path).replace(/\.js$/, ".ts");
      if (!thread.startsWith(source) || !existsSync(thread))
        stop(`${id} names ${path}: the bundle has no such file`);
      this.emitFile({ type: "chunk", id: thread, fileName: flatName(thread) });
      return `new URL("./${flatName(thread)}", import.meta.url)`;
    });
    if (moved.replace(/new URL\("[^"]+", import\.meta\.url\)/g, "").includes("import.meta"))
      stop(`${id} uses import.meta in another way than new URL("…", import.meta.url)`);
    return { code: moved };
  },
};

/**
 * What a plain probe needs lies in two files: each one costs time to find. Its parts that other commands have as well stay
 * where they are.
 */
const togetherGroups = [
  {
    name: "probe-options",
    test: /\/src\/(?:probe\/(?:options\/|message\.|exit-status\.)|commands\/probe\/(?:command-line|option-host|output)\.)/,
  },
  {
    name: "probe-session",
    test: /\/src\/(?:probe\/(?:transaction\/|transcript\/|tls\.|probe\.|mail-hosts\.)|commands\/probe\/(?:carry-out|host)\.)/,
  },
];

/** Bundles the sources into `folder`. Returns the files of packages that are in it. @param {string} folder */
async function bundleSources(folder) {
  const bundle = await rolldown({
    cwd: root,
    input: { main: join(source, "main.ts") },
    platform: "node",
    plugins: [filesBeside],
    preserveEntrySignatures: "allow-extension", // parts that lie together may be exported from there
    onLog: (_, { message }) => stop(message),
  });
  const { output } = await bundle.write({
    dir: folder,
    format: "cjs", // Node.js starts it 8 to 14 ms sooner than modules
    codeSplitting: { groups: togetherGroups, includeDependenciesRecursively: false },
    entryFileNames: "[name].js",
    chunkFileNames: ({ facadeModuleId }) =>
      facadeModuleId?.startsWith(source) ? flatName(facadeModuleId) : "[name].js",
  });
  await bundle.close();
  return output.flatMap((chunk) =>
    chunk.type === "chunk"
      ? Object.entries(chunk.modules).flatMap(([id, { renderedLength }]) => (renderedLength > 0 ? [id] : []))
      : [],
  );
}

/** The folder of the package that `file` belongs to. @param {string} file */
function packageOf(file) {
  const [, folder] = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file) ?? [];
  return folder;
}

/** Some packages have it there and nowhere else: from its heading to the next one. @param {string} folder */
function licenceInReadme(folder) {
  const readme = readFileSync(join(folder, "README.md"), "utf8").split(/^#+ /m);
  return readme.filter((part) => /^licen[cs]e\b/i.test(part) && part.includes("WITHOUT WARRANTY OF ANY KIND"));
}

/** All licences that the bundle's users have to be told. @param {readonly string[]} folders */
function licencesOf(folders) {
  const parts = folders.map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const texts = readdirSync(folder)
      .filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
      .sort();
    const found = texts.map((file) => readFileSync(join(folder, file), "utf8"));
    const text = (found.length > 0 ? found : licenceInReadme(folder)).map((one) =>
      one.replaceAll("\r\n", "\n").trim(),
    );
    if (text.length === 0 || typeof license !== "string") stop(`${name} comes without a licence`);
    return `${"=".repeat(78)}\n${name} ${version} (${license})\n${"=".repeat(78)}\n\n${text.join("\n\n")}\n`;
  });
  return `tpa-submit itself: see LICENSE. It contains these packages, each under its own licence:\n\n${parts.join("\n")}`;
}

/**
 * bin/tpa-submit for a program that is built for certain, and that is no module.
 * @param {string} text
 */
function launcher(text) {
  const begins = /^#!.*\n/.exec(text)?.[0];
  const [, checks] = /^(?:#!.*\n|import .*\n)+\n([\s\S]*)^const program = /m.exec(text) ?? [];
  if (begins === undefined || checks === undefined)
    stop("bin/tpa-submit is not as packaging/bundle.mjs knows it");
  return `${begins}"use strict";

${checks}require("../dist/main.js")
  .main(process.argv.slice(2))
  .then((status) => {
    process.exitCode = status;
  });
`;
}

const folder = resolve(process.argv[2] ?? join(root, "bundle"));
rmSync(folder, { recursive: true, force: true });
mkdirSync(join(folder, "bin"), { recursive: true });
const files = await bundleSources(join(folder, "dist"));
const packages = [...new Set(files.map(packageOf))].filter((one) => one !== undefined).sort();
const { name, version, description, license, engines, bin } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8"),
);
const manifest = { name, version, description, license, type: "commonjs", engines, bin };
writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
writeFileSync(join(folder, "LICENSES.txt"), licencesOf(packages));
cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
writeFileSync(
  join(folder, "bin", "tpa-submit"),
  launcher(readFileSync(join(root, "bin", "tpa-submit"), "utf8")),
);
chmodSync(join(folder, "bin", "tpa-submit"), 0o755);
