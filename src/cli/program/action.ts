import type { Command } from "commander";
import type { LogLevel } from "../../log.ts";
import type { CliContext, ExitCode } from "../context.ts";

/** A command as it was called, without its own options. */
export interface Call {
  /** Path as given. */
  readonly configFile: string;
  readonly logLevel: LogLevel;
  /** Whether it runs until it is told to stop, so that being stopped is how it ends well. */
  readonly isService: boolean;
}

/** Runs a command's work in a context made for the call; its result or error becomes the exit code. Never rejects. */
export type Execute = (call: Call, work: (context: CliContext) => Promise<ExitCode>) => Promise<void>;

/** What a command does with its options and arguments. */
export type Work<Options> = (context: CliContext, options: Options, ...given: string[]) => Promise<ExitCode>;

/** What commander calls: it hands over arguments and options, and last the command. */
export type Action = (...given: unknown[]) => Promise<void>;

/** Makes actions of what commands do. */
export interface Actions {
  /** Of a command that ends by itself. */
  once<Options>(work: Work<Options>): Action;
  /** Of a command that runs until it is stopped. */
  service<Options>(work: Work<Options>): Action;
}

interface GlobalOptions {
  readonly config: string;
  readonly logLevel?: LogLevel;
}

/** Actions of a program's commands. A service logs more, as there is someone to read it later. */
export function actionsOf(program: Command, execute: Execute): Actions {
  function action<Options>(work: Work<Options>, isService: boolean): Action {
    return (...given) => {
      const self = given.at(-1) as Command;
      const { config: configFile, logLevel = isService ? "info" : "warn" } = program.opts<GlobalOptions>();
      return execute({ configFile, logLevel, isService }, (context) =>
        work(context, self.opts() as Options, ...self.args),
      );
    };
  }
  return { once: (work) => action(work, false), service: (work) => action(work, true) };
}
