import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

/** What a test file needs that Node and the packages of the project do not have. */
export interface Needs {
  /** Folders of test/servers, to be built before the file runs. */
  readonly servers: readonly string[];
  /** Whether it needs no server, no program of the machine and no process of x2istio: `npm run test:quick` runs it. */
  readonly isQuick: boolean;
  /** The file itself and all that it imports for more than types, from the root of the project. */
  readonly modules: readonly string[];
}

const root = join(import.meta.dirname, "..");
const SERVERS = join(root, "test/servers/build.ts");
const PROGRAMS = join(root, "test/servers/programs.ts");
const COMMAND_LINE = join(root, "test/e2e/cli.ts");
/** Tests of whole processes, of x2istio or npm. */
const PROCESSES = "test/e2e/";
const IMPORT = /^(?:import|export)\s(?!type\b)[^;"]*?\bfrom\s*"(\.[^"]+)"|\bimport\s*\(?\s*"(\.[^"]+)"/gm;

/** All test files, from the root of the project. */
export function testFiles(): string[] {
  return globSync("test/**/*.test.ts", { cwd: root }).sort();
}

/**
 * What a test file needs, as told by its imports: whatever starts a server leads to `ensureServers` of servers/build.ts, whatever
 * starts a program of the machine to `lacking` of servers/programs.ts, and whatever starts x2istio to e2e/cli.ts or stands beside it.
 *
 * @throws When a call of `ensureServers` names its servers in a way that this cannot read.
 */
export function needsOf(file: string): Needs {
  const modules = modulesOf(resolve(root, file));
  const lists = listsIn([...modules.values()].join("\n"));
  const servers = [...modules].flatMap(([path, text]) => (path === SERVERS ? [] : serversIn(text, lists)));
  return {
    servers: [...new Set(servers)].sort(),
    isQuick: !file.startsWith(PROCESSES) && ![SERVERS, PROGRAMS, COMMAND_LINE].some((path) => modules.has(path)),
    modules: [...modules.keys()].map((path) => relative(root, path)),
  };
}

/** Text of the file and of all modules of the project that it imports for more than their types, by path. */
function modulesOf(file: string): ReadonlyMap<string, string> {
  const found = new Map([[file, readFileSync(file, "utf8")]]);
  for (const [path, text] of found) {
    for (const imported of importsOf(path, text)) {
      if (!found.has(imported)) found.set(imported, readFileSync(imported, "utf8"));
    }
  }
  return found;
}

function importsOf(path: string, text: string): string[] {
  return [...text.matchAll(IMPORT)]
    .map(([, from, bare]) => join(dirname(path), from ?? bare ?? ""))
    .filter((imported) => existsSync(imported));
}

/** Constants that list servers, such as `kubeServers`, by name. */
function listsIn(text: string): ReadonlyMap<string, string> {
  const found = text.matchAll(/^export const (\w+) = \[([^\]]*)\] as const;$/gm);
  return new Map([...found].map(([, name = "", items = ""]) => [name, items]));
}

function serversIn(text: string, lists: ReadonlyMap<string, string>): string[] {
  return [...text.matchAll(/\bawait ensureServers\(([^)]*)\)/g)].flatMap(([, argument = ""]) => read(argument, lists));
}

/** The servers of `["coredns"]`, `kubeServers`, `[...kubeServers, "istioctl"]`. */
function read(items: string, lists: ReadonlyMap<string, string>): string[] {
  return [...items.matchAll(/"([\w-]+)"|[^\s,.[\]]+/g)].flatMap(([word, server]) => {
    if (server !== undefined) return [server];
    const list = lists.get(word);
    if (list === undefined)
      throw new Error(`Cannot tell which servers "${word}" are as no constant of a test lists them`);
    return read(list, lists);
  });
}
