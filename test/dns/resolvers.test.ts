import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { lacking } from "../servers/programs.ts";

const run = promisify(execFile);
const LEGACY = "orders.corp.example.com";
const HOST = "orders.shop.vms.mesh.internal";
const MANY = Array.from({ length: 60 }, (_, n) => `240.241.3.${n}`);
const RECIPE = join(import.meta.dirname, "../../deploy/dns/resolv.conf");
const INSIDE = join(import.meta.dirname, "resolvers-inside.ts");

/**
 * How a machine of its own is made, with addresses of both families, as the C library asks for no others (AI_ADDRCONFIG): only the C library's resolver of this process's children asks 127.0.0.1:53.
 */
const SETUP = `ip link set lo up; ip addr add 192.0.2.1/32 dev lo; ip addr add 2001:db8::1/128 dev lo nodad || true; mount --bind "$1" /etc/resolv.conf; shift; exec "$@"`;
const hasV6 = existsSync("/proc/net/if_inet6");
const unshare = [...(process.getuid?.() === 0 ? [] : ["--map-root-user"]), "--net", "--mount"];

const GO = `package main
import ("fmt"; "net"; "os"; "sort"; "strings")
func main() {
  found, err := net.LookupHost(os.Args[1])
  if err != nil { fmt.Println(err); return }
  sort.Strings(found)
  fmt.Println(strings.Join(found, " "))
}
`;
const JAVA = `import java.net.InetAddress;
import java.util.*;
public class Lookup {
  public static void main(String[] names) throws Exception {
    List<String> found = new ArrayList<>();
    for (InetAddress one : InetAddress.getAllByName(names[0])) found.add(one.getHostAddress());
    Collections.sort(found);
    System.out.println(String.join(" ", found));
  }
}
`;
/** JNDI asks for several types at once by ANY. */
const JNDI = `import java.util.*;
import javax.naming.directory.*;
public class Jndi {
  public static void main(String[] names) throws Exception {
    Hashtable<String, String> how = new Hashtable<>();
    how.put("java.naming.factory.initial", "com.sun.jndi.dns.DnsContextFactory");
    Attribute found = new InitialDirContext(how).getAttributes(names[0], new String[] {"A", "AAAA"}).get("A");
    System.out.println(found == null ? "no A" : found.get());
  }
}
`;
const C = `#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
int main(int count, char **names) {
  struct addrinfo hints, *one;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  int error = getaddrinfo(names[1], 0, &hints, &one), found = 0;
  if (error) return puts(gai_strerror(error)), 1;
  for (; one; one = one->ai_next) found++;
  printf("%d\\n", found);
}
`;
/** Finds servers by SRV, and by a name that has many. */
const HAPROXY = (dir: string) => `global
  stats socket ${dir}/haproxy mode 600 level admin
resolvers x2istio
  nameserver one 127.0.0.1:53
  accepted_payload_size 8192
  timeout resolve 1s
  timeout retry 1s
defaults
  mode http
  timeout connect 1s
  timeout client 1s
  timeout server 1s
backend srv
  server-template one 3 _http._tcp.${HOST} resolvers x2istio resolve-prefer ipv4 init-addr none
backend many
  server-template one 60 many.mesh.internal:80 resolvers x2istio resolve-prefer ipv4 init-addr none
`;
const lookup = (name: string) =>
  `require("node:dns").lookup("${name}", {all: true}, (e, all) => console.log(e?.code ?? all.map((one) => one.address).sort().join(" ")))`;
const resolve = (name: string, type: string) =>
  `require("node:dns").resolve("${name}", "${type}", (e, all) => console.log(e?.code ?? JSON.stringify(all)))`;

interface Case {
  readonly name: string;
  /** What has to be installed. */
  readonly needs: string;
  readonly command: readonly string[];
  readonly want: RegExp | string;
}

function cases(dir: string): readonly Case[] {
  const go = join(dir, "lookup");
  const java = join(dir, "Lookup.java");
  const both = "240.241.0.7 fd00::7";
  return [
    { name: "dig", needs: "dig", command: ["dig", "+short", LEGACY], want: "240.241.0.7" },
    { name: "dig, cookie and NSID", needs: "dig", command: ["dig", "+nsid", HOST], want: /COOKIE: \w+ \(good\)/ },
    {
      name: "dig, SRV",
      needs: "dig",
      command: ["dig", "+short", `_http._tcp.${HOST}`, "SRV"],
      want: `0 100 8080 ${HOST}.`,
    },
    { name: "dig -x", needs: "dig", command: ["dig", "+short", "-x", "240.241.0.7"], want: `${HOST}.` },
    { name: "dig, NXDOMAIN", needs: "dig", command: ["dig", "nobody.mesh.internal"], want: /status: NXDOMAIN/ },
    { name: "dig, version.bind", needs: "dig", command: ["dig", "CH", "TXT", "version.bind"], want: /status: REFUSED/ },
    {
      name: "dig, 60 addresses",
      needs: "dig",
      command: ["dig", "+short", "many.mesh.internal"],
      want: MANY.join("\n"),
    },
    { name: "kdig", needs: "kdig", command: ["kdig", "+short", LEGACY, "AAAA"], want: "fd00::7" },
    { name: "kdig +tcp", needs: "kdig", command: ["kdig", "+short", "+tcp", "64001.65536"], want: "240.241.0.8" },
    { name: "getent", needs: "getent", command: ["getent", "ahostsv4", LEGACY], want: /^240\.241\.0\.7 +STREAM/ },
    {
      name: "getent, IPv6",
      needs: hasV6 ? "getent" : "IPv6",
      command: ["getent", "ahostsv6", LEGACY],
      want: /^fd00::7 +STREAM/,
    },
    {
      name: "getent, an L5 name",
      needs: "getent",
      command: ["getent", "ahostsv4", "64001.65536"],
      want: /^240\.241\.0\.8/,
    },
    {
      name: "getent, by address",
      needs: "getent",
      command: ["getent", "hosts", "240.241.0.7"],
      want: /orders\.shop\.vms/,
    },
    { name: "Node, lookup()", needs: process.execPath, command: [process.execPath, "-e", lookup(LEGACY)], want: both },
    {
      name: "Node, resolve()",
      needs: process.execPath,
      command: [process.execPath, "-e", resolve(`_http._tcp.${HOST}`, "SRV")],
      want: /"port":8080/,
    },
    {
      name: "Node, 60 addresses",
      needs: process.execPath,
      command: [process.execPath, "-e", lookup("many.mesh.internal")],
      want: MANY.toSorted().join(" "),
    },
    {
      name: "c-ares (Node, resolve4()), 60 addresses",
      needs: process.execPath,
      command: [
        process.execPath,
        "-p",
        'require("node:dns/promises").resolve4("many.mesh.internal").then((all) => console.log(all.length)), ""',
      ],
      want: "60",
    },
    {
      name: "HAProxy, by SRV and 60 addresses",
      needs: "haproxy",
      command: [process.execPath, join(import.meta.dirname, "haproxy.ts"), dir],
      want: "240.241.0.7:8080, 60",
    },
    { name: "Go", needs: "go", command: ["env", "GODEBUG=netdns=go", go, LEGACY], want: both },
    { name: "Go by the C library", needs: "go", command: ["env", "GODEBUG=netdns=cgo", go, LEGACY], want: both },
    {
      name: "Go, 60 addresses",
      needs: "go",
      command: ["env", "GODEBUG=netdns=go", go, "many.mesh.internal"],
      want: MANY.toSorted().join(" "),
    },
    { name: "Java", needs: "java", command: ["java", java, LEGACY], want: /^240\.241\.0\.7 fd00:0:0:0:0:0:0:7$/ },
    { name: "Java, JNDI", needs: "java", command: ["java", join(dir, "Jndi.java"), LEGACY], want: "240.241.0.7" },
    { name: "musl", needs: "musl-gcc", command: [join(dir, "musl"), LEGACY], want: "1" },
    // musl before 1.2.4 knows no TCP, and takes what a cut answer has. It has room for 512 octets, and says nothing of more.
    {
      name: "musl, 60 addresses",
      needs: "musl-gcc",
      command: [join(dir, "musl"), "many.mesh.internal"],
      want: /^(2\d|60)$/,
    },
  ];
}

function isInstalled(command: string): boolean {
  try {
    execFileSync("which", [command], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Why no machine of its own can be made; false where it can. */
async function refusal(): Promise<string | false> {
  try {
    await run("unshare", [...unshare, "sh", "-ec", SETUP, "sh", "/dev/null", "true"]);
    return false;
  } catch (error) {
    return `needs unshare and ip, and the right to use them: ${(error as Error).message}`;
  }
}

test("resolvers", { skip: lacking("ip", "unshare") || (await refusal()), timeout: 180_000 }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "x2istio-resolvers-"));
  t.after(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, "lookup.go"), GO);
  writeFileSync(join(dir, "Lookup.java"), JAVA);
  writeFileSync(join(dir, "Jndi.java"), JNDI);
  writeFileSync(join(dir, "musl.c"), C);
  writeFileSync(join(dir, "haproxy.cfg"), HAPROXY(dir));
  if (isInstalled("go")) await run("go", ["build", "-o", join(dir, "lookup"), join(dir, "lookup.go")]);
  if (isInstalled("musl-gcc")) await run("musl-gcc", ["-static", "-o", join(dir, "musl"), join(dir, "musl.c")]);
  const all = cases(dir).map((one) => ({ ...one, isMissing: !isInstalled(one.needs) }));
  const commands = all
    .filter(({ isMissing }) => !isMissing)
    .map(({ name, command }) => [name, ...command].join("\x1f"));
  const inside = ["sh", "-ec", SETUP, "sh", RECIPE, process.execPath, INSIDE, ...commands];
  const { stdout } = await run("unshare", [...unshare, ...inside], { timeout: 150_000 });
  const said = JSON.parse(stdout) as Readonly<Record<string, string>>;
  for (const { name, needs, want, isMissing } of all)
    await t.test(`${name} resolves`, { skip: isMissing ? `${needs} is not installed` : false }, () => {
      if (typeof want === "string") assert.equal(said[name], want);
      else assert.match(said[name] ?? "", want);
    });
});
