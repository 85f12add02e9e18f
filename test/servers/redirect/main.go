// Command redirect sends all TCP that leaves the network namespace it runs in to a port of that namespace, as Istio's init
// container does with iptables: but for what carries the proxy's own mark, and for what goes to an excluded IPv4 address. It speaks
// to the kernel and needs no other program.
package main

import (
	"log"
	"net/netip"
	"os"
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 || len(os.Args) > 4 {
		log.Fatal("usage: redirect PORT MARK [EXCLUDED]")
	}
	port, err := strconv.ParseUint(os.Args[1], 10, 16)
	if err != nil {
		log.Fatalf("Cannot read the port: %v", err)
	}
	mark, err := strconv.ParseUint(os.Args[2], 10, 32)
	if err != nil {
		log.Fatalf("Cannot read the mark: %v", err)
	}
	var excluded netip.Addr
	if len(os.Args) == 4 {
		if excluded, err = netip.ParseAddr(os.Args[3]); err != nil || !excluded.Is4() {
			log.Fatalf("Cannot exclude %q: it is no IPv4 address", os.Args[3])
		}
	}
	if err := redirect(uint16(port), uint32(mark), excluded); err != nil {
		log.Fatalf("Cannot redirect: %v", err)
	}
}

func redirect(port uint16, mark uint32, excluded netip.Addr) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		table := conn.AddTable(&nftables.Table{Family: family, Name: "mesh"})
		chain := conn.AddChain(&nftables.Chain{
			Name:     "output",
			Table:    table,
			Type:     nftables.ChainTypeNAT,
			Hooknum:  nftables.ChainHookOutput,
			Priority: nftables.ChainPriorityNATDest,
		})
		if family == nftables.TableFamilyIPv4 && excluded.IsValid() {
			const destination = 16 // where an IPv4 header has it
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: destination, Len: 4},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: excluded.AsSlice()},
				&expr.Verdict{Kind: expr.VerdictAccept},
			}})
		}
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte("lo\x00")},
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
			&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)},
			&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
			&expr.Redir{RegisterProtoMin: 1},
		}})
	}
	return conn.Flush()
}
