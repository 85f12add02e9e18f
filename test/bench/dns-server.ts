/** One of this runtime's servers of the DNS comparison: `dns-server.ts KIND PORT NAMES [WORKERS] [CHANGES A SECOND]`; NAMES of `forward` is an upstream's port. */
import { createSocket } from "node:dgram";
import { dnsServer } from "../../src/dns/serve/server.ts";
import type { NameTable } from "../../src/model/name-table.ts";
import { nameTable, service, ZONE } from "./dns-names.ts";

const [kind = "", portText, countText, workersText = "1", changesText = "0"] = process.argv.slice(2);
const port = Number(portText);
const count = Number(countText);

const common = {
  listen: [{ address: "127.0.0.1", port }],
  ttlSeconds: 30,
  allow: ["127.0.0.0/8"],
  log: {
    warn: (fields: object, message: string) => void process.stderr.write(`${message} ${JSON.stringify(fields)}\n`),
  },
};

const kinds: Readonly<Record<string, () => Promise<void> | void>> = {
  echo() {
    const socket = createSocket("udp4");
    socket.on("message", (packet, { port, address }) => {
      packet[2] = (packet[2] as number) | 0x80;
      socket.send(packet, port, address);
    });
    socket.bind(port, "127.0.0.1");
  },
  async dns2() {
    const { default: DNS } = await import("dns2");
    const { names } = nameTable(count);
    const server = DNS.createServer({
      udp: true,
      handle(request, send) {
        const [question] = request.questions as unknown as [{ readonly name: string }];
        const response = DNS.Packet.createResponseFromRequest(request);
        const row = names.get(question.name.toLowerCase());
        if (row === undefined) response.header.rcode = 3;
        else
          response.answers.push(
            new DNS.Packet.Resource({
              name: question.name,
              type: DNS.Packet.TYPE.A,
              class: DNS.Packet.CLASS.IN,
              ttl: 30,
              address: row.a[0] ?? "",
            }),
          );
        send(response);
      },
    });
    await server.listen({ udp: { port, address: "127.0.0.1" } });
  },
  async forward() {
    const server = dnsServer({
      ...common,
      zones: [],
      forward: [{ address: "127.0.0.1", port: count }],
      table: () => nameTable(0),
      workers: 1,
    });
    await server.start();
  },
  async x2istio() {
    let table: NameTable = nameTable(count);
    const names = new Map(table.names);
    const server = dnsServer({
      ...common,
      zones: [{ name: ZONE, forward: [] }],
      forward: [],
      table: () => table,
      workers: Number(workersText),
    });
    await server.start();
    if (Number(changesText) === 0) return;
    let serial = 1;
    setInterval(() => {
      const { name } = service((serial * 7919) % count);
      const row = names.get(name);
      if (row !== undefined) names.set(name, { ...row, a: [`240.242.0.${serial % 256}`] });
      table = { names, parents: table.parents, serial: serial + 1, changes: { since: serial, names: [name] } };
      serial++;
      server.refresh();
    }, 1000 / Number(changesText));
  },
};

await kinds[kind]?.();
