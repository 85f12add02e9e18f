import { createSocket } from "node:dgram";
import dns2 from "dns2";
import { OTHERS } from "./coredns.ts";

const { Packet } = dns2;

/** A DNS server for example.net. */
export interface NameServer {
  /** A name has these IPv4 addresses from now on; without any, it does not exist. */
  set(name: string, ...addresses: readonly string[]): void;
  /** How often a name was asked for. */
  asked(name: string): number;
  /** Whether it answers nothing from now on. */
  silence(isSilent: boolean): void;
  stop(): void;
}

/** Answers with a TTL of a second where the cluster's DNS asks for names in example.net. */
export async function startNameServer(): Promise<NameServer> {
  const names = new Map<string, readonly string[]>();
  const asked = new Map<string, number>();
  let isSilent = false;
  const socket = createSocket("udp4");
  socket.on("message", (message, { port, address }) => {
    const query = Packet.parse(message);
    const reply = Packet.createResponseFromRequest(query);
    const [question] = query.questions;
    const name = question?.name.toLowerCase() ?? "";
    asked.set(name, (asked.get(name) ?? 0) + 1);
    if (isSilent) return;
    const found = names.get(name);
    if (found === undefined) reply.header.rcode = 3;
    if (question?.type === Packet.TYPE.A)
      for (const one of found ?? [])
        reply.answers.push(
          new Packet.Resource({
            name: question.name,
            type: Packet.TYPE.A,
            class: Packet.CLASS.IN,
            ttl: 1,
            address: one,
          }),
        );
    socket.send(reply.toBuffer(), port, address);
  });
  await new Promise<void>((resolve) => socket.bind(OTHERS, "127.0.0.1", resolve));
  return {
    set: (name, ...addresses) => (addresses.length === 0 ? names.delete(name) : names.set(name, addresses)),
    asked: (name) => asked.get(name) ?? 0,
    silence(is) {
      isSilent = is;
    },
    stop: () => socket.close(),
  };
}
