import { each } from "../../src/async/each.ts";
import type { ConsulClient } from "./client/client.ts";
import { CHECKS_PARSER } from "./client/reply.ts";
import type { Query } from "./client/request.ts";
import type { Datacenter } from "./datacenter.ts";
import type { Search } from "./search.ts";
import { READS_AT_ONCE } from "./service-reads.ts";
import { NODES, UNHEALTHY } from "./tables.ts";
import { watchRegistrations } from "./tick.ts";
import { type Checks, checksByPlace, movedServices } from "./unhealthy.ts";
import type { WatchOptions } from "./watch.ts";

/** How often it is asked whether anything was registered: where lists are long they come later than that. */
const TICK_MS = 50;

const REGISTERED = "registrations";

/** Blocking queries of {@link watchSigns}. */
export const SIGN_WATCHES = 1 + UNHEALTHY.length;

/** Where there are signs, and who follows them. */
export interface SignOptions {
  readonly reader: Datacenter;
  readonly client: ConsulClient;
  readonly search: Search;
  /** Ask with blocking queries until `signal` aborts. */
  readonly begin: <Result>(
    path: string,
    query: Query<Result>,
    options: Pick<WatchOptions<Result>, "index" | "onChange" | "onFailure">,
  ) => void;
}

/** Signs that some service has changed. */
export interface Signs {
  /** Whether none of them fails at the moment. */
  isWell(): boolean;
}

/**
 * Follow signs that services have changed, where not every service has a blocking query of its own, until `signal` aborts: checks that
 * fail name their service, and after a registration or a change of a node the service is searched for.
 */
export function watchSigns(options: SignOptions, signal: AbortSignal): Signs {
  const failing = new Set<string>();
  for (const path of [NODES.path, ...UNHEALTHY]) watchSign(options, path, failing);
  const { reader, client, search } = options;
  const onState = (isWell: boolean) => void (isWell ? failing.delete(REGISTERED) : failing.add(REGISTERED));
  void watchRegistrations({ reader, client, everyMs: TICK_MS, onMoved: search.request, onState }, signal);
  return { isWell: () => failing.size === 0 };
}

/** @param failing paths whose last query failed */
function watchSign({ reader, search, begin }: SignOptions, path: string, failing: Set<string>): void {
  let known = path === NODES.path ? reader.indexes().nodes : 0;
  const follow = path === NODES.path ? async () => search.request() : checksFollower(reader, search);
  const query = path === NODES.path ? { params: NODES.params } : { parser: CHECKS_PARSER };
  begin(
    path,
    { dc: reader.name, ...query },
    {
      index: () => known,
      async onChange(answer, signal) {
        await follow(() => answer.result(), signal);
        known = answer.index;
        failing.delete(path);
      },
      onFailure() {
        failing.add(path);
        search.lookAround(); // what it would have told is found all the same
        return true;
      },
    },
  );
}

type Follow = (checks: () => Parameters<typeof checksByPlace>[0], signal: AbortSignal) => Promise<void>;

/** Reads the services of which a check has come into a state or left it. */
function checksFollower(reader: Datacenter, search: Search): Follow {
  let before: Checks | undefined;
  return async (checks, signal) => {
    const now = checksByPlace(checks());
    const moved = before === undefined ? new Set<string>() : movedServices(before, now);
    if (before === undefined) search.lookAround(); // what came to be so since the last poll is told by no further answer
    before = now;
    if (moved.delete("")) search.request();
    const listed = [...moved].filter((name) => reader.names().has(name));
    await each(listed, READS_AT_ONCE, (name) => reader.readService(name, signal));
  };
}
