import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { onDeathOfThisProcess } from "../servers/child.ts";
import { lacking } from "../servers/programs.ts";

const MAIN = resolve(import.meta.dirname, "../../src/main.ts");

/** Why no terminal is to be had; `false` if one is. */
export const noTerminal = lacking("script");

/** Run `x2istio` with `args` in a terminal that has colours. @returns Everything that the terminal was sent. */
export async function runInTerminal(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const {
    NODE_TEST_CONTEXT: _,
    NODE_OPTIONS: __,
    KUBECONFIG: ___,
    NO_COLOR: ____,
    CI: _____,
    ...inherited
  } = process.env;
  const quoted = [process.execPath, MAIN, ...args].map((arg) => `'${arg.replaceAll("'", `'\\''`)}'`).join(" ");
  const child = spawn("script", ["-qec", quoted, "/dev/null"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...inherited, TERM: "xterm-256color", ...env },
  });
  const guard = onDeathOfThisProcess('kill -KILL "$1"', String(child.pid));
  const text: string[] = [];
  child.stdout.setEncoding("utf8").on("data", (part: string) => text.push(part));
  await new Promise((done) => child.once("close", done));
  guard.kill("SIGKILL");
  return text.join("");
}

/** Colours of ours and of the log, their ends, the end of a line of progress, and ends of lines. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const OURS = /\u001b\[(?:0|1|2|22|3[1236]|39|90)m|\r?\u001b\[K|\r?\n|\t/g;

/** What a terminal was sent besides printable text and our own sequences; the script's own last words do not count. */
export function strangeIn(output: string): readonly string[] {
  const rest = output.replace(OURS, "");
  return [...new Set(rest.match(/.{0,20}[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}].{0,20}/gu) ?? [])].map(
    (one) => JSON.stringify(one),
  );
}
