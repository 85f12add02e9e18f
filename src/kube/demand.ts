import { changeLog } from "../async/change-log.ts";
import { ConflictError } from "../errors.ts";
import { fieldsOf } from "../istio/fields.ts";
import type { Log } from "../log.ts";
import { type DemandChannel, MOST_TOLD, readDemand, type StandingDemand, writeDemand } from "../model/demand.ts";
import { MANAGED_BY, MANAGED_BY_LABEL, OWNER_LABEL } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { KubeClient, KubeRequest } from "./client/client.ts";
import { hasStatus } from "./client/kube-error.ts";
import { createRequest, type ObjectRef, patchRequest, refTitle } from "./client/object-requests.ts";
import type { RawObject } from "./client/raw.ts";
import { collectionPath, RESOURCES } from "./client/resources.ts";
import { reflector } from "./watch/reflector.ts";
import { createSink } from "./watch/sink.ts";
import type { Store } from "./watch/store.ts";

/** Options of {@link demandChannel}. */
export interface DemandChannelOptions {
  readonly client: KubeClient;
  readonly owner: string;
  readonly namespace: string;
  readonly log?: Pick<Log, "info" | "warn"> | undefined;
}

/** A ConfigMap may have 1 MiB. */
const MOST_CHARACTERS = 700_000;
/** Callers of one service that are told of. */
const MOST_CALLERS = 3;
const DATA_KEY = "asked";

/** What the ConfigMap says, as it was last seen. Only its store changes it. */
interface State {
  /** Without it there is no such ConfigMap. */
  revision: string | undefined;
  told: ReadonlyMap<ServiceKey, StandingDemand>;
}

/** ConfigMap `x2istio-<owner>-demand`. Every write is tied to the version that it was made from. */
export function demandChannel({ client, owner, namespace, log }: DemandChannelOptions): DemandChannel {
  const ref: ObjectRef = { resource: RESOURCES.ConfigMap, namespace, name: `x2istio-${owner}-demand` };
  const changes = changeLog<string>();
  const state: State = { revision: undefined, told: new Map() };
  const sink = createSink(storeOf(state, ref.name), changes.add);
  const watching = reflector({
    ...{ client, sink, log },
    title: refTitle(ref),
    path: collectionPath(RESOURCES.ConfigMap, namespace),
    // With a name in it, the right to this one ConfigMap is enough.
    query: { fieldSelector: `metadata.name=${ref.name}` },
  });
  return {
    told: () => state.told,
    version: changes.version,
    wait: changes.wait,
    follow: watching.follow,
    async tell(next) {
      if (next.size === 0 && state.revision === undefined) return;
      const expected = sink.expect(ref.name);
      try {
        expected.put((await client.request(requestOf(next, ref, owner, state.revision))) as RawObject);
      } catch (error) {
        // 404 on a patch: somebody removed it, and the watch will say so.
        if (!hasStatus(error, 409) && !(hasStatus(error, 404) && state.revision !== undefined)) throw error;
        throw new ConflictError(`Cannot write ${refTitle(ref)} as it changed since it was read`);
      } finally {
        expected.end();
      }
    },
  };
}

function storeOf(state: State, name: string): Store {
  return {
    keyOf: ({ metadata }) => (metadata?.name === name ? name : undefined),
    put(_, { metadata, data }) {
      if (metadata?.resourceVersion === state.revision) return false;
      state.revision = metadata?.resourceVersion;
      state.told = parseTold(fieldsOf(data)[DATA_KEY]);
      return true;
    },
    drop() {
      const wasThere = state.revision !== undefined;
      state.revision = undefined;
      state.told = new Map();
      return wasThere;
    },
    keys: () => (state.revision === undefined ? [] : [name]),
  };
}

function requestOf(
  next: ReadonlyMap<ServiceKey, StandingDemand>,
  ref: ObjectRef,
  owner: string,
  resourceVersion: string | undefined,
): KubeRequest {
  const { name, namespace } = ref;
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: owner };
  const data = { [DATA_KEY]: writeTold(next) };
  return resourceVersion === undefined
    ? createRequest(ref, { metadata: { name, namespace, labels }, data }, "demand")
    : patchRequest(ref, { metadata: { resourceVersion, labels }, data }, "demand");
}

/** What cannot be read was told by nobody. */
function parseTold(text: unknown): ReadonlyMap<ServiceKey, StandingDemand> {
  const told = new Map<ServiceKey, StandingDemand>();
  if (typeof text !== "string") return told;
  for (const line of text.split("\n").slice(0, MOST_TOLD)) {
    const [key = "", demand] = line.split("\t");
    const read = readDemand(demand);
    if (key !== "" && read !== undefined) told.set(key, read);
  }
  return told;
}

function writeTold(told: ReadonlyMap<ServiceKey, StandingDemand>): string {
  const lines: string[] = [];
  let characters = 0;
  for (const [key, { lastMs, callers }] of [...told].slice(0, MOST_TOLD)) {
    // A service's own name may hold anything.
    if (/[\t\n]/.test(key)) continue;
    const line = `${key}\t${writeDemand({ lastMs, callers: callers.slice(0, MOST_CALLERS) })}`;
    characters += line.length + 1;
    if (characters > MOST_CHARACTERS) break;
    lines.push(line);
  }
  return lines.join("\n");
}
