import { moveNamed, movesOf, stageShareText } from "../migrate/moves.ts";
import { orderMoves } from "../migrate/order.ts";
import { preconditionsOf } from "../migrate/preconditions.ts";
import { fetchUsage } from "../usage/fetch.ts";
import type { ServiceUseJson } from "../usage/json.ts";
import { mergeUsage } from "../usage/report.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { moveJson, moveRows } from "./print/moves.ts";
import { count, table } from "./print/text.ts";
import { once } from "./setup/once.ts";
import { type ReplicaOptions, replicasOf } from "./setup/replicas.ts";

export interface MigrateViewOptions extends ReplicaOptions {
  readonly output: Format;
}

/** Show where every service is on its way. 0: shown. */
export async function statusCommand(context: CliContext, options: MigrateViewOptions): Promise<ExitCode> {
  const { output } = options;
  const seen = await callersSeen(context, options);
  return once(context, async ({ decide }) => {
    const moves = movesOf(decide(), seen.services);
    const { line } = context.out;
    if (output === "json") line(JSON.stringify({ services: moves.map(moveJson), unasked: seen.unasked }, null, 2));
    else {
      for (const text of table(moveRows(moves))) line(text);
      const counts = [...Map.groupBy(moves, ({ stage }) => stage)].map(([stage, all]) => `${all.length} ${stage}`);
      line("");
      line(`${count(moves.length, "service")}${counts.length > 0 ? `: ${counts.join(", ")}` : ""}.${seen.note}`);
    }
    return 0 as const;
  });
}

/** Show the order in which services are best moved, and how to go on with each. 0: shown. */
export async function orderCommand(context: CliContext, options: MigrateViewOptions): Promise<ExitCode> {
  const { output } = options;
  const seen = await callersSeen(context, options);
  return once(context, async ({ decide }) => {
    const ordered = orderMoves(movesOf(decide(), seen.services));
    const { line } = context.out;
    if (output === "json")
      line(
        JSON.stringify(
          {
            services: ordered.map(({ move, state, next }) => ({ ...moveJson(move), state, next })),
            unasked: seen.unasked,
          },
          null,
          2,
        ),
      );
    else {
      const open = ordered.filter(({ state }) => state !== "done");
      const rows = open.map(({ move, state, next }, at) => [
        `${at + 1}.`,
        move.service,
        stageShareText(move),
        count(move.callers.length, "caller"),
        state,
        next,
      ]);
      for (const text of table(rows)) line(text);
      if (rows.length > 0) line("");
      line(`${count(open.length, "service")} to move, ${ordered.length - open.length} inside or retired.${seen.note}`);
    }
    return 0 as const;
  });
}

/** Show everything that the move of one service needs. 0: nothing is missing, 1: something is. */
export async function checkCommand(
  context: CliContext,
  { name, output }: { readonly name: string; readonly output: Format },
): Promise<ExitCode> {
  return once(context, async ({ decide, config }) => {
    const move = moveNamed(name, decide(), config.target.clusterDomain);
    const preconditions = preconditionsOf(move);
    const missing = preconditions.filter(({ met }) => !met).length;
    const { line, style } = context.out;
    if (output === "json") line(JSON.stringify({ ...moveJson(move), ok: missing === 0, preconditions }, null, 2));
    else {
      line(`${move.service} is ${stageShareText(move)}`);
      const rows = table(preconditions.map(({ kind, met, message }) => [`${met ? " " : "!"} ${kind}`, message]));
      for (const [at, text] of rows.entries()) line(style(preconditions[at]?.met === true ? "dim" : "red", text));
      line("");
      line(missing === 0 ? "Nothing is missing." : `${count(missing, "precondition")} missing. Nothing was written.`);
    }
    return missing === 0 ? 0 : 1;
  });
}

interface Seen {
  readonly services: readonly ServiceUseJson[];
  /** Addresses that did not answer. */
  readonly unasked: readonly string[];
  /** Follows a sentence. */
  readonly note: string;
}

/** Callers are counted by whoever answers DNS. A view of the cluster does not fail where nobody can be asked. */
async function callersSeen(context: CliContext, options: ReplicaOptions): Promise<Seen> {
  const replicas = await replicasOf(context, options);
  const answers = await Promise.allSettled(replicas.map((replica) => fetchUsage(replica, context.signal)));
  context.signal.throwIfAborted();
  const told = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  const unasked = replicas.flatMap(({ address }, at) => (answers[at]?.status === "rejected" ? [address] : []));
  const note =
    unasked.length === 0
      ? ""
      : ` Callers are those recorded on the entries: ${unasked.join(", ")} could not be asked for callers (--from).`;
  return { services: mergeUsage(told).services, unasked, note };
}
