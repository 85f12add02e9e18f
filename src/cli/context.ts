import type { Config, ConfigContext } from "../config/config.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Adapter } from "../model/adapter.ts";
import type { Secrets } from "../secrets.ts";

/** What `main` hands to a command: nothing below it reads the environment, arguments or signals. */
export interface CliContext {
  /** Path as given; `./x2istio.yaml` by default. */
  readonly configFile: string;
  readonly configContext: ConfigContext;
  /** Value of KUBECONFIG, if set. */
  readonly kubeconfig: string | undefined;
  /** Where a pod finds the API server, if this is one. */
  readonly pod?: { readonly host: string; readonly port: string } | undefined;
  /** Makes the adapter of one configured registry. A ConfigError's lines read on from the registry: `path: sentence`. */
  readonly createAdapter: (registry: Config["registries"][number], config: Config) => Adapter | Promise<Adapter>;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Masked in every log line and error. */
  readonly secrets: Secrets;
  /** Aborts on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  readonly version: string;
  /** `host-pid`: who this process is in a Lease. */
  readonly identity: string;
  readonly out: Output;
  /** Times of the Lease where they are not Kubernetes' usual 15, 10 and 2 s: tests that lose it many times. */
  readonly lease?: {
    readonly leaseDurationMs: number;
    readonly renewDeadlineMs: number;
    readonly retryPeriodMs: number;
  };
}

/** Where a command prints. */
export interface Output {
  /** Write a line to standard output. What a terminal would obey is escaped, but for what `style` has put there. */
  readonly line: (text: string) => void;
  /** Show short-lived progress on standard error; an empty text clears it. No-op unless it is a terminal. */
  readonly progress: (text: string) => void;
  readonly style: Style;
}

export type Colour = "green" | "yellow" | "red" | "cyan" | "dim" | "bold";

/** Colours `text` where standard output is a terminal that has colours (and NO_COLOR is not set). */
export type Style = (colour: Colour, text: string) => string;

/** Process exit codes: contracts are by command. */
export type ExitCode = 0 | 1 | 2 | 3;

export type Format = "text" | "json";
