/** In a network of its own: answers on 127.0.0.1, ports 53 and 5353, and says, as JSON, what each command, its name and words by argument, U+001F between them, prints. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { dnsServer } from "../../src/dns/serve/server.ts";
import { table } from "./wire.ts";

const run = promisify(execFile);
const server = dnsServer({
  listen: [53, 5353].map((port) => ({ address: "127.0.0.1", port })),
  ttlSeconds: 30,
  zones: [{ name: "mesh.internal", forward: [] }],
  forward: [],
  allow: ["127.0.0.0/8"],
  table: () =>
    table({
      "orders.shop.vms.mesh.internal": {
        a: ["240.241.0.7"],
        ports: [{ name: "http", number: 8080, transport: "tcp" }],
      },
      "orders.corp.example.com": {
        host: "orders.shop.vms.mesh.internal",
        a: ["240.241.0.7"],
        aaaa: ["fd00::7"],
      },
      "64001.65536": { a: ["240.241.0.8"] },
      "many.mesh.internal": { a: Array.from({ length: 60 }, (_, n) => `240.241.3.${n}`) },
    }),
  log: { warn: (fields, message) => void process.stderr.write(`${message} ${JSON.stringify(fields)}\n`) },
});
await server.start();
const said: Record<string, string> = {};
for (const text of process.argv.slice(2)) {
  const [name = "", command = "", ...words] = text.split("\x1f");
  said[name] = await run(command, words, { timeout: 30_000 }).then(
    ({ stdout }) => stdout.trim(),
    (error: Error & { stdout?: string }) => `failed: ${error.stdout?.trim() ?? ""} ${error.message}`,
  );
}
await server.stop();
process.stdout.write(JSON.stringify(said));
