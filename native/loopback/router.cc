#include "loopback/router.h"

#include <algorithm>

namespace p2pmem::loopback {

namespace {

constexpr uint64_t kPage = 4096;

// The functions from `function` up to the root port, itself included.
std::vector<const PciFunction*> pathUp(const PciFunction& function) {
  std::vector<const PciFunction*> path;
  for (const PciFunction* at = &function; at; at = at->parent) path.push_back(at);
  return path;
}

bool claims(const PciFunction& port, uint64_t address) {
  return port.memoryWindow.contains(address) || port.prefetchableWindow.contains(address);
}

// Narrows [first, last] around `address` so that it has no part of the window.
void keepClear(const BridgeWindow& window, uint64_t address, Router::Decision& decision) {
  if (window.size == 0) return;
  if (window.base > address)
    decision.last = std::min(decision.last, window.base - 1);
  else
    decision.first = std::max(decision.first, window.base + window.size);
}

// Nobody takes a request to `address`. That holds for its page and no further: a BAR may begin at
// the next one, and no request reaches across (PCIe 4.0 §2.2.7).
Router::Decision unsupported(uint64_t address) {
  const uint64_t first = address & ~(kPage - 1);
  return {.kind = Router::Decision::Kind::unsupported, .first = first, .last = first + kPage - 1};
}

// Goes down from a port that claims the address to the BAR that does.
Router::Decision descend(const PciFunction& from, uint64_t address) {
  using Kind = Router::Decision::Kind;
  const PciFunction* at = &from;
  while (at->isBridge()) {
    const auto next = std::find_if(
        at->children.begin(), at->children.end(),
        [&](const PciFunction* child) { return !child->isBridge() || claims(*child, address); });
    if (next == at->children.end()) return unsupported(address);
    at = *next;
  }
  for (const Bar& bar : at->bars) {
    const uint64_t base = bar.address + bar.memoryOffset;
    if (!at->memoryDecode() || !bar.memory || address - base >= bar.memorySize) continue;
    return {.kind = Kind::direct,
            .target = const_cast<Endpoint*>(static_cast<const Endpoint*>(at)),
            .data = bar.enabled ? bar.memory->data() : nullptr,
            .first = base,
            .last = base + bar.memorySize - 1};
  }
  return unsupported(address);
}

}  // namespace

void Router::start(Forwarding forwarding) {
  forwarding_ = forwarding;
  const size_t count = fabric_.functions().size();
  routes_.resize(count * (count + 1) * 2);
  known_.resize(routes_.size());
  cpu_.resize(count);
}

Router::Decision Router::decide(const Endpoint& initiator, uint64_t address) const {
  using Kind = Decision::Kind;
  Decision decision{.kind = Kind::root};
  for (const PciFunction* port = initiator.parent;
       port && port->kind() == FunctionKind::downstreamPort; port = port->parent->parent) {
    // P2P Request Redirect: whatever arrives here goes up, a peer's address or not (PCIe 4.0
    // §6.12.3); Upstream Forwarding does the same for addresses below this port itself.
    if (port->acs() & pci::kAcsRequestRedirect) continue;
    if (claims(*port, address)) {
      if (!(port->acs() & pci::kAcsUpstreamForwarding)) return unsupported(address);
      const BridgeWindow& window =
          port->memoryWindow.contains(address) ? port->memoryWindow : port->prefetchableWindow;
      decision.first = std::max(decision.first, window.base);
      decision.last = std::min(decision.last, window.base + window.size - 1);
      continue;
    }
    const PciFunction& upstream = *port->parent;
    for (const PciFunction* sibling : upstream.children)
      if (claims(*sibling, address)) return descend(*sibling, address);
    // In the switch's own window, but nobody's: it is not forwarded up (PCIe 4.0 §2.2.8.10).
    if (claims(upstream, address)) return unsupported(address);
    keepClear(upstream.memoryWindow, address, decision);
    keepClear(upstream.prefetchableWindow, address, decision);
  }
  return decision;
}

Route* Router::route(const Endpoint& initiator, const Endpoint* target, bool viaRoot) {
  const size_t count = fabric_.functions().size();
  const size_t column = target ? target->index : count;
  const size_t slot = (initiator.index * (count + 1) + column) * 2 + (viaRoot ? 1 : 0);
  if (!known_[slot]) {
    routes_[slot] = make(initiator, target, viaRoot);
    known_[slot] = true;
  }
  return &routes_[slot];
}

Route Router::make(const Endpoint& initiator, const Endpoint* target, bool viaRoot) const {
  Route route;
  auto up = pathUp(initiator);
  const auto addHops = [](std::vector<Route::Hop>& hops,
                          const std::vector<const PciFunction*>& path, bool upwards) {
    for (const PciFunction* function : path)
      if (function->hasLink()) hops.push_back({function->index, upwards});
  };
  if (!target) {
    addHops(route.writeHops, up, true);
    addHops(route.readHops, up, false);
    route.writeCrossesRoot = route.readCrossesRoot = route.hostMemory = true;
    return route;
  }
  const auto down = pathUp(*target);
  // What remains below the switch that both have above them, if any.
  auto shortUp = up;
  auto shortDown = down;
  while (!shortUp.empty() && !shortDown.empty() && shortUp.back() == shortDown.back()) {
    shortUp.pop_back();
    shortDown.pop_back();
  }
  const bool meetInSwitch = shortUp.size() < up.size();
  // Completions go by the requester's ID: up to the switch where the paths meet, and there straight
  // on to the requester, unless the port that they enter it by has P2P Completion Redirect on (PCIe
  // 4.0 §6.12.3). Ports further down pass them up in any case.
  const bool completionsClimb = !meetInSwitch || target == &initiator ||
                                (shortDown.back()->acs() & pci::kAcsCompletionRedirect) != 0;
  addHops(route.writeHops, viaRoot ? up : shortUp, true);
  addHops(route.writeHops, viaRoot ? down : shortDown, false);
  addHops(route.readHops, completionsClimb ? down : shortDown, true);
  addHops(route.readHops, completionsClimb ? up : shortUp, false);
  route.writeCrossesRoot = viaRoot;
  route.readCrossesRoot = completionsClimb;
  return route;
}

void Router::countCpuAccess(const PciFunction& target, uint64_t bytes, bool write) {
  CpuCounter& counter = cpu_[target.index];
  (write ? counter.written : counter.read).fetch_add(bytes, std::memory_order_relaxed);
}

Traffic Router::traffic() const {
  const auto& functions = fabric_.functions();
  Traffic total;
  std::vector<LinkTraffic> links(functions.size());
  const auto along = [&](const std::vector<Route::Hop>& hops, uint64_t bytes, uint64_t control) {
    for (const Route::Hop& hop : hops) {
      LinkTraffic& link = links[hop.link];
      (hop.up ? link.up : link.down) += bytes;
      (hop.up ? link.upControl : link.downControl) += control;
    }
  };
  for (const Route& route : routes_) {
    along(route.writeHops, route.writeBytes, route.writeControlBytes);
    along(route.readHops, route.readBytes, route.readControlBytes);
    if (route.writeCrossesRoot) total.rootComplex += route.writeBytes;
    if (route.readCrossesRoot) total.rootComplex += route.readBytes;
    if (!route.hostMemory) continue;
    total.hostMemory += route.writeBytes + route.readBytes;
    total.hostControl += route.writeControlBytes + route.readControlBytes;
  }
  for (const auto& function : functions) {
    const uint64_t written = cpu_[function->index].written.load(std::memory_order_relaxed);
    const uint64_t read = cpu_[function->index].read.load(std::memory_order_relaxed);
    total.hostMemory += written + read;
    total.rootComplex += written + read;
    for (const PciFunction* at : pathUp(*function)) {
      if (!at->hasLink()) continue;
      links[at->index].down += written;
      links[at->index].up += read;
    }
  }
  for (const auto& function : functions) {
    if (!function->hasLink()) continue;
    links[function->index].address = function->address;
    total.links.push_back(std::move(links[function->index]));
  }
  return total;
}

void Router::reset() {
  for (Route& route : routes_)
    route.writeBytes = route.readBytes = route.writeControlBytes = route.readControlBytes = 0;
  for (CpuCounter& counter : cpu_) {
    counter.written.store(0, std::memory_order_relaxed);
    counter.read.store(0, std::memory_order_relaxed);
  }
}

}  // namespace p2pmem::loopback
