import { InvalidArgumentError, Option } from "commander";
import { durationMs } from "../../config/fields.ts";

/** `--output` of a command that prints text or JSON. */
export function outputOption(formats: readonly string[] = ["text", "json"]): Option {
  return new Option("-o, --output <format>", "how to print").choices(formats).default("text");
}

/** `--detailed-exitcode`: whether there are changes can be told from the exit code. */
export function detailedExitCodeOption(): Option {
  return new Option("--detailed-exitcode", "exit code 2 instead of 0 where there are changes").default(false);
}

/** `--from`: addresses of the replicas that count who asks for what. */
export function replicasOption(about: string): Option {
  return new Option("--from <urls>", about).argParser(list).default([], "the configuration's http.listen");
}

/** `--token-file`: what http.authorization of the replicas asks for. */
export function tokenFileOption(): Option {
  return new Option("--token-file <file>", "a file with a bearer token for the replicas of --from");
}

/** `--ca`: whom to believe that it is a replica. */
export function caOption(): Option {
  return new Option("--ca <file>", "a file with certificates (PEM) to verify the replicas of --from by");
}

/** Names with commas between. @throws {InvalidArgumentError} When one is empty. */
export function list(text: string): readonly string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("")) throw new InvalidArgumentError("Names are separated by single commas.");
  return names;
}

/** `<old>=<new>`. @throws {InvalidArgumentError} When it is not that. */
export function renaming(text: string): { readonly from: string; readonly to: string } {
  const [from = "", to = "", ...more] = text.split("=");
  if (from === "" || to === "" || more.length > 0) throw new InvalidArgumentError("A renaming is <old>=<new>.");
  return { from, to };
}

/** A whole number from 0 to 100. @throws {InvalidArgumentError} When it is not that. */
export function percent(text: string): number {
  if (!/^\d{1,3}$/.test(text) || Number(text) > 100)
    throw new InvalidArgumentError("It is a whole number from 0 to 100.");
  return Number(text);
}

/** Milliseconds of `30s`. @throws {InvalidArgumentError} When it is no duration. */
export function duration(text: string): number {
  try {
    return durationMs(text);
  } catch (error) {
    throw new InvalidArgumentError(`It ${(error as Error).message}.`);
  }
}

/** An option's parser for a list of which each must be one of `known`. */
export function listOf<Name extends string>(what: string, known: readonly Name[]): (text: string) => readonly Name[] {
  return (text) =>
    list(text).map((name) => {
      const found = known.find((one) => one === name);
      if (found === undefined) throw new InvalidArgumentError(`${what} are ${known.join(", ")}.`);
      return found;
    });
}
