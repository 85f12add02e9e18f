/** Starts HAProxy with `haproxy.cfg` of a folder, and prints what it has found once all its servers have an address, or after 20 s. */
import { spawn } from "node:child_process";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";

const [dir = ""] = process.argv.slice(2);
const child = spawn("haproxy", ["-db", "-f", `${dir}/haproxy.cfg`], { stdio: "inherit" });

/** Servers of backend `srv`, and how many addresses those of `many` have. Columns: management.txt of HAProxy, "show servers state". */
async function found(): Promise<string> {
  const socket = connect(`${dir}/haproxy`);
  socket.end("show servers state\n");
  const rows = (await text(socket)).split("\n").map((line) => line.split(" "));
  const known = rows.filter(([, , , , address = ""]) => address.startsWith("240."));
  const many = new Set(known.filter(([, backend]) => backend === "many").map((row) => row[4]));
  const srv = known.filter(([, backend]) => backend === "srv").map((row) => `${row[4]}:${row[18]}`);
  return `${srv.join(" ")}, ${many.size}`;
}

let last = "";
for (let tries = 0; tries < 200 && !/^2.*, 60$/.test(last); tries++, await pause(100))
  last = await found().catch((error: unknown) => String(error));
process.stdout.write(`${last}\n`);
child.kill();
