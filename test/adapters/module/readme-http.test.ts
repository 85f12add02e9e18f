import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { loadModule } from "../../../adapters/module/load.ts";
import { adapterContract, adapterOf } from "../../../src/testing/testing.ts";

const readme = readFileSync(new URL("../../../adapters/module/README.md", import.meta.url), "utf8");
const example = [...readme.matchAll(/^```js\n(.*?)^```$/gms)]
  .map(([, text = ""]) => text)
  .find((text) => text.includes("fetch("));
const dir = mkdtempSync(join(tmpdir(), "x2istio-module-"));
after(() => rmSync(dir, { recursive: true }));
writeFileSync(join(dir, "http.js"), (example ?? "").replaceAll('"zod"', JSON.stringify(import.meta.resolve("zod"))));
const module = await loadModule("http.js", dir);

// A server that lists its services in another order each time, and knows no ETag.
adapterContract("the README's module for an HTTP service", {
  async start() {
    const listed = new Map<string, string[]>();
    let isBroken = false;
    const server = createServer((_request, response) => {
      const services = [...listed].map(([name, addresses]) => ({ name, port: 8080, addresses }));
      response.writeHead(isBroken ? 500 : 200, { "content-type": "application/json" }).end(JSON.stringify(services));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return {
      adapter: await adapterOf(module, { registry: "own", dir, options: { url } }),
      async addService(name, addresses) {
        listed.set(name, [...addresses]);
      },
      async removeService(name) {
        listed.delete(name);
      },
      async addEndpoint(service, address) {
        listed.get(service)?.push(address);
      },
      async removeEndpoint(service, address) {
        listed.set(service, listed.get(service)?.filter((one) => one !== address) ?? []);
      },
      async breakList() {
        isBroken = true;
        return async () => {
          isBroken = false;
        };
      },
      async shuffle() {
        const turned = [...listed].toReversed().map(([name, all]) => [name, all.toReversed()] as const);
        listed.clear();
        for (const [name, all] of turned) listed.set(name, all);
      },
      async close() {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  },
});
