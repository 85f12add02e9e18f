import { each } from "../../src/async/each.ts";
import { ReadError, readFailure } from "../../src/errors.ts";
import type { Connection } from "./client/connection.ts";
import { type Fields, parseService } from "./client/reply.ts";
import { type Entry, fail, take } from "./entry.ts";
import { meshName } from "./names.ts";
import { lose, type State } from "./namespace-state.ts";

/** A subscription keeps a service listed: one without instances is only asked for after this time. */
const EMPTY_MS = 30_000;
/** So many questions without an answer in time mean that the server is away. */
const MOST_TIMEOUTS = 3;

/** Ask for services, and subscribe to those that have instances. */
export async function ask(
  state: State,
  connection: Connection,
  entries: ReadonlySet<Entry>,
  signal: AbortSignal,
  mayRest = true,
): Promise<void> {
  let timeouts = 0;
  await each(entries, state.options.maxInFlight, async (entry) => {
    entry.verifiedAtMs = state.nowMs(); // also where it fails: it must not take the turn of others for ever
    try {
      const { emptySinceMs = Number.POSITIVE_INFINITY } = entry;
      const isResting = mayRest && state.nowMs() - emptySinceMs >= EMPTY_MS;
      if (!entry.isSubscribed && !isResting && mayRest) await subscribe(state, connection, entry, true, signal);
      else await query(state, connection, entry, signal);
      if (isResting && entry.isSubscribed && entry.emptySinceMs !== undefined)
        await subscribe(state, connection, entry, false, signal);
    } catch (error) {
      signal.throwIfAborted();
      const failure =
        error instanceof ReadError ? error : new ReadError("answer", "cannot be understood", { cause: error });
      if (fail(entry, new ReadError(failure.failure, `Cannot read ${entry.key}`, { cause: failure }))) state.onChange();
      const kind = readFailure(failure);
      if (kind === "connection" || (kind === "timeout" && ++timeouts >= MOST_TIMEOUTS)) {
        lose(state, connection);
        throw failure;
      }
    }
  });
}

async function query(state: State, connection: Connection, entry: Entry, signal: AbortSignal): Promise<void> {
  const { pushes } = entry;
  const body = { ...bodyOf(state, entry), cluster: "", healthyOnly: false, udpPort: 0 };
  takeAnswer(state, entry, await asked(state, connection, "ServiceQueryRequest", body, entry, signal), pushes);
}

/** Let the server push what becomes of a service, or no more. */
export async function subscribe(
  state: State,
  connection: Connection,
  entry: Entry,
  isOn: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { pushes } = entry;
  const body = { ...bodyOf(state, entry), clusters: "", subscribe: isOn };
  entry.isSubscribed = isOn;
  try {
    const answer = await asked(state, connection, "SubscribeServiceRequest", body, entry, signal);
    if (isOn) takeAnswer(state, entry, answer, pushes);
  } catch (error) {
    entry.isSubscribed = false;
    throw error;
  }
}

function bodyOf({ id }: State, { name: { group, name } }: Entry) {
  return { namespace: id, groupName: group, serviceName: name, module: "naming" };
}

function asked(state: State, connection: Connection, type: string, body: object, { name }: Entry, signal: AbortSignal) {
  return state.session.ask(connection, type, body, { group: name.group, service: name.name }, signal);
}

/** An answer counts unless something newer was pushed while it was on its way. */
function takeAnswer(state: State, entry: Entry, answer: Fields, pushesBefore: number): void {
  const raw = parseService(answer);
  if (entry.pushes === pushesBefore || raw.atMs >= entry.atMs) taken(state, entry, raw);
}

function taken(state: State, entry: Entry, raw: ReturnType<typeof parseService>): void {
  const options = { ...state.entryOptions, namespace: state.id, source: state.session.server() };
  const { isChanged, loss } = take(entry, raw, state.nowMs(), options);
  if (isChanged && loss !== "none") state.onLoss(loss === "all");
  else if (isChanged) state.onChange();
}

/** Take what the server says by itself. What cannot be understood makes its service doubtful, until it is asked for with the next poll. */
export function pushed(state: State, body: Fields | undefined): void {
  const { metrics } = state;
  if (body === undefined) return void metrics.pushed("bad");
  try {
    const raw = parseService(body);
    const entry = state.entries.get(meshName(raw));
    if (entry?.isSubscribed !== true) metrics.pushed("unknown");
    else if (raw.atMs < entry.atMs) metrics.pushed("old");
    else {
      entry.pushes++;
      taken(state, entry, raw);
      metrics.pushed("taken");
    }
  } catch (cause) {
    metrics.pushed("bad");
    const { name, groupName } = (body.serviceInfo ?? {}) as Fields;
    const entry = state.entries.get(meshName({ group: `${groupName}`, name: `${name}` }));
    const failure = new ReadError("answer", `Cannot read ${entry?.key}: what is pushed`, { cause });
    if (entry !== undefined && fail(entry, failure)) state.onChange();
  }
}
