package nodetest

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var (
	nodesFlag    = flag.Int("nodes", 0, "measure how pings spread among `N` nodes all over the world, -seeds times")
	distanceFlag = flag.String("distance", "on", "have the mesh know distance: `on or off`")
	liarsFlag    = flag.Float64("liars", 0, "have this `share` of nodes answer libp2p's pings late")
	eclipseFlag  = flag.Float64("eclipse", 0, "have this `share` of nodes be near to all and pass nothing on")
	churnFlag    = flag.Float64("churn", 0, "have this `share` of nodes leave each minute")
	evenFlag     = flag.Bool("even", false, "have as many nodes in each region, not most in Europe and North America")
	agedFlag     = flag.Bool("aged", false, "begin with meshes that do not prefer near peers, which those of a network that has just grown do")
	settleFlag   = flag.Duration("settle", 5*time.Minute, "let a network settle for so `long` before it is measured")
	messagesFlag = flag.Int("messages", 50, "measure with `N` pings")
	everyFlag    = flag.Duration("every", time.Second, "publish one each so `often`")
	sizeFlag     = flag.Int("size", 100, "have pings of `N` bytes")
	reportFlag   = flag.String("report", "", "write the figures to this `file` as JSON")
)

// plan is what is measured.
type plan struct {
	Nodes  int
	Even   bool // as many nodes in each region
	Aged   bool // no mesh prefers near peers at first
	Random bool // the mesh knows no distance
	Settle time.Duration
	Load   Load
	// Shares: of the nodes, and of the nodes in a minute.
	Liars, Swallowers, Churn float64
}

// asked is the plan that the flags describe.
func asked() plan {
	return plan{
		Nodes:      *nodesFlag,
		Even:       *evenFlag,
		Aged:       *agedFlag,
		Random:     *distanceFlag == "off",
		Settle:     *settleFlag,
		Load:       Load{Messages: *messagesFlag, Every: *everyFlag, Size: *sizeFlag, Patience: 2 * time.Minute},
		Liars:      *liarsFlag,
		Swallowers: *eclipseFlag,
		Churn:      *churnFlag,
	}
}

// measurement is one run of the benchmark.
type measurement struct {
	Seed uint64
	Plan plan
	Propagation
	// WallSeconds is what the run took here, which depends on the machine.
	WallSeconds float64
}

// measure builds a network, has it settle, and publishes a load.
func measure(t *testing.T, seed uint64, p plan) measurement {
	t.Helper()
	began := time.Now()
	var stage atomic.Value
	stage.Store("")
	opts := options()
	opts.World = newWorld(seed, p.Nodes, p.Even)
	opts.Roles = rolesOf(seed, p.Nodes, p.Liars, p.Swallowers)
	opts.World.draw(opts.Roles)
	opts.RandomMesh = p.Random
	opts.Discovery = p.Churn > 0
	opts.Progress = func(s string) { stage.Store(s) }
	defer every(10*time.Second, func() { t.Logf("seed %d: %v", seed, stage.Load()) })()
	m := measurement{Seed: seed, Plan: p}
	Run(t, seed, opts, func(t *testing.T, n *Network) { m.Propagation = propagation(t, n, p) })
	m.WallSeconds = time.Since(began).Seconds()
	return m
}

// every calls f so often, by the clock on the wall, until it is told to stop.
func every(d time.Duration, f func()) (stop func()) {
	ticker, done, ended := time.NewTicker(d), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				f()
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-ended
	}
}

func propagation(t *testing.T, n *Network, p plan) Propagation {
	t.Helper()
	heap, stacks := memory()
	n.Mingle(p.Nodes, p.Aged)
	n.stage("all are connected")
	churn := n.newChurn(p.Churn)
	wait(n, churn, p.Settle*4/5)
	var meters [3]*meter
	read := func(i int) {
		var err error
		if meters[i], err = n.meter(); err != nil {
			t.Fatal(err)
		}
	}
	read(0)
	wait(n, churn, p.Settle/5)
	read(1)
	sent := n.Spread(p.Load, churn)
	read(2)
	n.stage("looking in all ledgers")
	found, err := n.deliveries(sent)
	if err != nil {
		t.Fatal(err)
	}
	if found.early > 0 {
		t.Errorf("%d pings came before any path allows", found.early)
	}
	sum := found.propagation()
	sum.Members, sum.Messages, sum.Left = n.members(), p.Load.Messages, churn.left()
	sizes, held := n.meshes()
	sum.Mesh, sum.Swallowed = quantiles(sizes), quantiles(held)
	sum.Copies = meters[1].receivedSince(meters[2]) / float64(p.Load.Messages)
	bytes, minutes := meters[0].bytesSince(meters[1])
	sum.RestBytes = bytes / minutes / float64(p.Nodes)
	bytes, minutes = meters[1].bytesSince(meters[2])
	sum.Bytes = (bytes/float64(p.Nodes) - sum.RestBytes*minutes) / float64(p.Load.Messages)
	liveHeap, liveStacks := memory()
	sum.Heap, sum.Stacks = (liveHeap-heap)/float64(p.Nodes), (liveStacks-stacks)/float64(p.Nodes)
	return sum
}

// wait lets virtual time pass, and tells of it.
func wait(n *Network, churn *Churn, d time.Duration) {
	for until := n.Now() + d; n.Now() < until; {
		churn.sleep(min(time.Minute, until-n.Now()))
		n.stage("settling")
	}
}

// TestPropagation measures how long pings take to all nodes of a network in
// which latencies and lines are those of the real world, against the shortest
// paths over its connections:
//
//	go test ./node/nodetest -run '^TestPropagation$' -nodes 500 -seeds 4 -v -timeout 2h
//
// A minute of 500 nodes takes about half a minute here, and so does connecting
// them. Without -nodes it only sees that small networks keep what must hold.
func TestPropagation(t *testing.T) {
	if *nodesFlag == 0 {
		load := Load{Messages: 4, Every: time.Second, Size: 100, Patience: 2 * time.Minute}
		for name, p := range map[string]plan{
			"honest":  {Nodes: 20, Settle: 5 * time.Second, Load: load},
			"trouble": {Nodes: 10, Settle: 5 * time.Second, Load: load, Liars: 0.2, Swallowers: 0.2, Churn: 2},
		} {
			t.Run(name, func(t *testing.T) { checkSmall(t, p, measure(t, 1, p)) })
		}
		return
	}
	if d := *distanceFlag; d != "on" && d != "off" {
		t.Fatalf("-distance %s: on or off is wanted", d)
	}
	// Live memory is large and what is garbage is small: collect it less often.
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	var all []measurement
	for _, seed := range seeds() {
		m := measure(t, seed, asked())
		t.Logf("seed %d took %.0f s\n%s", seed, m.WallSeconds, table(m))
		all = append(all, m)
	}
	if len(all) > 1 {
		t.Logf("%d seeds\n%s", len(all), table(all...))
	}
	if *reportFlag != "" {
		report(t, all)
	}
}

func report(t *testing.T, all []measurement) {
	t.Helper()
	data, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*reportFlag, append(data, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkSmall(t *testing.T, p plan, m measurement) {
	t.Helper()
	t.Logf("\n%s", table(m))
	if m.Held != 1 {
		t.Errorf("nodes hold %.4f of all pings", m.Held)
	}
	// A peer sends a ping at most once by gossip, and once more when it is asked
	// to because it announced it.
	if most := 2 * float64(p.Nodes-1); m.Copies < 0.5 || m.Copies > most {
		t.Errorf("a node received a ping %.1f times", m.Copies)
	}
	if (m.Left > 0) != (p.Churn > 0) {
		t.Errorf("%d nodes left", m.Left)
	}
	if swallowed := m.Swallowed.Max > 0; swallowed != (p.Swallowers > 0) {
		t.Errorf("%.2f of a mesh are swallowers at most", m.Swallowed.Max)
	}
}

// table writes measurements one below the other, and their medians.
func table(all ...measurement) string {
	var b strings.Builder
	row := func(name string, format func(float64) string, value func(measurement) float64) {
		fmt.Fprintf(&b, "%-44s", name)
		var values []float64
		for _, m := range all {
			values = append(values, value(m))
			fmt.Fprintf(&b, "%10s", format(value(m)))
		}
		if len(all) > 1 {
			fmt.Fprintf(&b, "   median %s", format(median(values)))
		}
		b.WriteByte('\n')
	}
	decimals := func(k int) func(float64) string {
		return func(v float64) string { return fmt.Sprintf("%.*f", k, v) }
	}
	percent := func(v float64) string { return fmt.Sprintf("%.3f %%", 100*v) }
	row("seed", decimals(0), func(m measurement) float64 { return float64(m.Seed) })
	row("delivered, ms: p50", decimals(1), func(m measurement) float64 { return m.Took.P50 })
	row("               p99", decimals(1), func(m measurement) float64 { return m.Took.P99 })
	row("               max", decimals(1), func(m measurement) float64 { return m.Took.Max })
	row("shortest path, ms: p50", decimals(1), func(m measurement) float64 { return m.Shortest.P50 })
	row("                   p99", decimals(1), func(m measurement) float64 { return m.Shortest.P99 })
	row("                   max", decimals(1), func(m measurement) float64 { return m.Shortest.Max })
	row("p99 delivered / p99 shortest path", decimals(3), func(m measurement) float64 { return m.RatioOfP99 })
	row("delivered / its own shortest path: p50", decimals(3), func(m measurement) float64 { return m.Ratio.P50 })
	row("                                   p99", decimals(3), func(m measurement) float64 { return m.Ratio.P99 })
	row("p99 / p99 of a ping, on average", decimals(3), func(m measurement) float64 { return m.RatioOfEach })
	row("detour, ms: p50", decimals(1), func(m measurement) float64 { return m.Detour.P50 })
	row("            p99", decimals(1), func(m measurement) float64 { return m.Detour.P99 })
	row("            max", decimals(1), func(m measurement) float64 { return m.Detour.Max })
	row("copies a node a ping", decimals(2), func(m measurement) float64 { return m.Copies })
	row("mesh: p50", decimals(0), func(m measurement) float64 { return m.Mesh.P50 })
	row("      max", decimals(0), func(m measurement) float64 { return m.Mesh.Max })
	if all[0].Plan.Swallowers > 0 {
		row("swallowers in a mesh: p50", percent, func(m measurement) float64 { return m.Swallowed.P50 })
		row("                      p99", percent, func(m measurement) float64 { return m.Swallowed.P99 })
		row("                      max", percent, func(m measurement) float64 { return m.Swallowed.Max })
	}
	if all[0].Plan.Churn > 0 {
		row("nodes that left", decimals(0), func(m measurement) float64 { return float64(m.Left) })
	}
	row("pings held at the end", percent, func(m measurement) float64 { return m.Held })
	row("came by gossip", percent, func(m measurement) float64 { return m.ByGossip })
	row("came by catch-up", percent, func(m measurement) float64 { return m.ByCatchUp })
	row("bytes a node sends for a ping", decimals(0), func(m measurement) float64 { return m.Bytes })
	row("bytes a node sends in a minute at rest", decimals(0), func(m measurement) float64 { return m.RestBytes })
	row("heap a node, KiB", decimals(0), func(m measurement) float64 { return m.Heap / 1024 })
	row("stacks a node, KiB", decimals(0), func(m measurement) float64 { return m.Stacks / 1024 })
	return b.String()
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	k := len(values)
	return (values[(k-1)/2] + values[k/2]) / 2
}
