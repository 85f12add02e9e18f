import { spawn } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A realistic fault: one exact change of a source, and the suite that must notice it. */
export interface Mutant {
  /** From the root of the project. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly from: string;
  readonly to: string;
  /** Test file, from the root of the project. */
  readonly suite: string;
  /** What a user would lose. */
  readonly why: string;
}

/** What became of a mutant: its suite failed, or hung; or it passed. */
export type Fate = "killed" | "hung" | "survived";

const root = join(import.meta.dirname, "../..");
/** What a suite reads. */
const COPIED = ["src", "adapters", "test", "deploy", "package.json", "tsconfig.json", "README.md"];

/** All mutants, by area of the lists beside this file. */
export function readMutants(): readonly Mutant[] {
  return globSync("*.jsonl", { cwd: import.meta.dirname })
    .sort()
    .flatMap((list) =>
      readFileSync(join(import.meta.dirname, list), "utf8")
        .trim()
        .split("\n"),
    )
    .map((line) => JSON.parse(line) as Mutant);
}

/** The room that a source belongs to: `plan`, `kube`, `adapters/consul`; of files beside rooms `src` or `adapters`. */
export function roomOf(file: string): string {
  const [top = "", room = ""] = file.split("/");
  if (room.endsWith(".ts")) return top;
  return top === "src" ? room : `${top}/${room}`;
}

/** Why a mutant cannot be made, or `undefined`. */
export function fault({ file, from, to }: Mutant, text = readFileSync(join(root, file), "utf8")): string | undefined {
  const found = text.split(from).length - 1;
  if (found !== 1) return `${file} has ${found} times: ${from}`;
  return from === to ? `${file}: nothing changes` : undefined;
}

/** A copy of the project in which mutants are made. */
export interface Copy {
  /** Make one, run its suite for at most `limitMs`, and take it back. */
  fateOf(mutant: Mutant, limitMs: number): Promise<Fate>;
  /** Whether a suite passes as it is. */
  passes(suite: string, limitMs: number): Promise<boolean>;
  remove(): Promise<void>;
}

export async function copyProject(): Promise<Copy> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-mutants-"));
  for (const part of COPIED) await cp(join(root, part), join(dir, part), { recursive: true });
  await symlink(join(root, "node_modules"), join(dir, "node_modules"));
  return {
    async fateOf({ file, from, to, suite }, limitMs) {
      const path = join(dir, file);
      const text = await readFile(path, "utf8");
      await writeFile(
        path,
        text.replace(from, () => to),
      );
      try {
        return await runSuite(dir, suite, limitMs);
      } finally {
        await writeFile(path, text);
      }
    },
    passes: async (suite, limitMs) => (await runSuite(dir, suite, limitMs)) === "survived",
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}

/** A group of processes of its own, so that nothing of a suite that hangs stays behind. */
function runSuite(dir: string, suite: string, limitMs: number): Promise<Fate> {
  return new Promise((end, reject) => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const child = spawn(process.execPath, ["--test", `--test-timeout=${limitMs}`, suite], {
      cwd: dir,
      env: { ...env, X2ISTIO_TEST_SIZE: "normal" },
      stdio: "ignore",
      detached: true,
    });
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, limitMs);
    child.once("error", reject).once("exit", (code) => {
      clearTimeout(timer);
      end(isLate ? "hung" : code === 0 ? "survived" : "killed");
    });
  });
}
