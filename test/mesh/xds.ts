import { Client, credentials } from "@grpc/grpc-js";
import { XDS } from "./istiod.ts";
import { buffers, decode, encode, type Message, messages, textOf } from "./protobuf.ts";

/** All resources of a type that istiod has sent, by name; a live view. */
export interface Watch {
  readonly resources: ReadonlyMap<string, Message>;
  stop(): void;
}

/** Options of {@link watchResources}. */
export interface WatchOptions {
  /** Identity that istiod knows the client by, such as `ztunnel~10.9.0.1~ztunnel-1.istio-system~istio-system.svc.cluster.local`. */
  readonly node: string;
  readonly metadata?: Metadata;
  readonly type: string;
  /** Names of the resources; all there are if none is given. */
  readonly names?: readonly string[];
  /** Called with the name of each resource that comes. */
  readonly onResource?: (name: string) => void;
}

interface Metadata {
  readonly [field: string]: string | Metadata;
}

/**
 * Ask istiod for resources as its own data planes do: one stream of changes (envoy.service.discovery.v3, delta), all of which
 * are taken.
 */
export function watchResources({ node, metadata = {}, type, names = [], onResource }: WatchOptions): Watch {
  const client = new Client(`${XDS.address}:${XDS.port}`, credentials.createInsecure());
  const resources = new Map<string, Message>();
  const same = (bytes: Buffer) => bytes;
  const path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
  const stream = client.makeBidiStreamRequest(path, same, same);
  stream.on("error", () => {}); // its end
  stream.on("data", (bytes: Buffer) => {
    const answer = decode(bytes);
    for (const resource of messages(answer, RESPONSE.resources)) {
      const [body = Buffer.alloc(0)] = messages(resource, RESOURCE.body).flatMap((any) => buffers(any, ANY.value));
      const name = textOf(resource, RESOURCE.name);
      resources.set(name, decode(body));
      onResource?.(name);
    }
    for (const removed of buffers(answer, RESPONSE.removed)) resources.delete(removed.toString());
    stream.write(
      encode([
        [REQUEST.type, type],
        [REQUEST.nonce, textOf(answer, RESPONSE.nonce)],
      ]),
    );
  });
  stream.write(
    encode([
      [
        REQUEST.node,
        encode([
          [1, node],
          [3, structOf(metadata)],
        ]),
      ],
      [REQUEST.type, type],
      ...names.map((name) => [REQUEST.subscribe, name] as const),
    ]),
  );
  return {
    resources,
    stop() {
      stream.cancel();
      client.close();
    },
  };
}

/** google.protobuf.Struct */
function structOf(fields: Metadata): Buffer {
  const wrapped = (value: string | Metadata) =>
    typeof value === "string" ? encode([[3, value]]) : encode([[5, structOf(value)]]);
  return encode(
    Object.entries(fields).map(([name, value]) => [
      1,
      encode([
        [1, name],
        [2, wrapped(value)],
      ]),
    ]),
  );
}

// Field numbers of envoy/service/discovery/v3/discovery.proto and google/protobuf/any.proto.
const REQUEST = { node: 1, type: 2, subscribe: 3, nonce: 6 } as const;
const RESPONSE = { resources: 2, nonce: 5, removed: 6 } as const;
const RESOURCE = { body: 2, name: 3 } as const;
const ANY = { value: 2 } as const;
