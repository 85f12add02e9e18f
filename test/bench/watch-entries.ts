import { readFile } from "node:fs/promises";
import { Agent, request as httpRequest } from "undici";
import type { Kube } from "../servers/kube.ts";
import { NAMESPACE } from "./fixture.ts";

/** ServiceEntries as the API server stores them. */
export interface EntryWatch {
  /** Time (`performance.now()`) at which the next version of entry `name` is seen; rejects after `timeoutMs`. */
  next(name: string, timeoutMs: number): Promise<number>;
  stop(): Promise<void>;
}

/** Watch all ServiceEntries of the benchmark's namespace from now on. */
export async function watchEntries({ url, caFile, adminToken }: Kube): Promise<EntryWatch> {
  const dispatcher = new Agent({ connect: { ca: await readFile(caFile, "utf8") }, bodyTimeout: 0 });
  const path = `/apis/networking.istio.io/v1/namespaces/${NAMESPACE}/serviceentries`;
  const open = async (query: string) =>
    httpRequest(`${url}${path}?${query}`, { headers: { authorization: `Bearer ${adminToken}` }, dispatcher });
  const list = (await (await open("limit=1")).body.json()) as { metadata: { resourceVersion: string } };
  const { body } = await open(`watch=1&resourceVersion=${list.metadata.resourceVersion}`);
  const waiting = new Map<string, (atMs: number) => void>();
  let rest = "";
  body.setEncoding("utf8").on("data", (text: string) => {
    const atMs = performance.now();
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const name = (JSON.parse(line) as { object: { metadata: { name: string } } }).object.metadata.name;
      waiting.get(name)?.(atMs);
      waiting.delete(name);
    }
  });
  body.on("error", () => undefined);
  return {
    next: (name, timeoutMs) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(name);
          reject(new Error(`Cannot measure as ServiceEntry ${name} did not change within ${timeoutMs} ms`));
        }, timeoutMs);
        waiting.set(name, (atMs) => {
          clearTimeout(timer);
          resolve(atMs);
        });
      }),
    stop: () => dispatcher.destroy(),
  };
}
