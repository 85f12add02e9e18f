import { ConflictError } from "../errors.ts";
import type { Log } from "../log.ts";
import { changeLog } from "../model/change-log.ts";
import { type DemandChannel, MOST_TOLD, readDemand, type StandingDemand, writeDemand } from "../model/demand.ts";
import { MANAGED_BY, MANAGED_BY_LABEL, OWNER_LABEL } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { KubeClient, KubeRequest } from "./client.ts";
import { hasStatus } from "./kube-error.ts";
import { fieldsOf, type RawObject } from "./raw.ts";
import { reflector } from "./reflector.ts";
import { collectionPath, objectPath, RESOURCES } from "./resources.ts";
import { createSink } from "./sink.ts";

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

/** ConfigMap `x2istio-<owner>-demand`. Every write is tied to the version that it was made from. */
export function demandChannel({ client, owner, namespace, log }: DemandChannelOptions): DemandChannel {
  const name = `x2istio-${owner}-demand`;
  const changes = changeLog();
  let revision: string | undefined;
  let told: ReadonlyMap<ServiceKey, StandingDemand> = new Map();
  const sink = createSink(
    {
      keyOf: ({ metadata }) => (metadata?.name === name ? name : undefined),
      put(_, { metadata, data }) {
        if (metadata?.resourceVersion === revision) return false;
        revision = metadata?.resourceVersion;
        told = parseTold(fieldsOf(data)[DATA_KEY]);
        return true;
      },
      drop() {
        const wasThere = revision !== undefined;
        revision = undefined;
        told = new Map();
        return wasThere;
      },
      keys: () => (revision === undefined ? [] : [name]),
    },
    changes.add,
  );
  const watching = reflector({
    ...{ client, sink, log },
    title: `ConfigMap ${namespace}/${name}`,
    path: collectionPath(RESOURCES.ConfigMap, namespace),
    // With a name in it, the right to this one ConfigMap is enough.
    query: { fieldSelector: `metadata.name=${name}` },
  });

  function request(data: Readonly<Record<string, string>>): KubeRequest {
    const labels = { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: owner };
    const { apiVersion, kind } = RESOURCES.ConfigMap;
    if (revision === undefined)
      return {
        method: "POST",
        path: collectionPath(RESOURCES.ConfigMap, namespace),
        action: `create ConfigMap ${namespace}/${name}`,
        body: { apiVersion, kind, metadata: { name, namespace, labels }, data },
        operation: "demand",
      };
    return {
      method: "PATCH",
      path: objectPath(RESOURCES.ConfigMap, namespace, name),
      action: `patch ConfigMap ${namespace}/${name}`,
      body: { metadata: { resourceVersion: revision, labels }, data },
      operation: "demand",
    };
  }

  return {
    told: () => told,
    version: changes.version,
    wait: changes.wait,
    follow: watching.follow,
    async tell(next) {
      if (next.size === 0 && revision === undefined) return;
      const expected = sink.expect(name);
      try {
        expected.put((await client.request(request({ [DATA_KEY]: writeTold(next) }))) as RawObject);
      } catch (error) {
        // 404 on a patch: somebody removed it, and the watch will say so.
        if (!hasStatus(error, 409) && !(hasStatus(error, 404) && revision !== undefined)) throw error;
        throw new ConflictError(`Cannot write ConfigMap ${namespace}/${name} as it moved since it was read`);
      } finally {
        expected.end();
      }
    },
  };
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
