// The service ports whose connections are chosen for, and where their endpoints are.
#ifndef PENSTOCK_CHOICE_SERVICES_H_
#define PENSTOCK_CHOICE_SERVICES_H_

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../service/service.h"
#include "flow.h"

namespace penstock::choice {

struct List {
  engine::EndpointList endpoints;
  // What says in the mark of a packet who was chosen, by index: from 1.
  std::vector<uint16_t> numbers;
};

struct Key {
  Place place;  // a node port has no address
  uint8_t list;
};

struct Service {
  uint32_t cell;
  uint8_t protocol;
  engine::Algorithm algorithm;
  std::vector<List> lists;
  std::vector<Key> keys;
};

struct Found {
  const Service* service;
  const List* list;
};

class Services {
 public:
  // Records of src/dataplane/choice/encodeChoice.ts. False when they make no sense; those before the fault are in force.
  bool Update(const uint8_t* records, size_t length);

  // Calls `take` with the cells of endpoints that no service port has any more, once.
  template <typename Take>
  void TakeDropped(Take take);

  // nullptr when nobody asked for a choice there.
  const Found* Find(const Place& vip) const;
  // The cell of an endpoint; false for a stranger.
  bool CellOf(const Place& endpoint, uint32_t* cell) const;

 private:
  struct Owner {
    uint32_t cell;
    uint32_t users;
  };

  void Remove(uint32_t cell);
  void Add(std::unique_ptr<Service> service);

  std::unordered_map<uint32_t, std::unique_ptr<Service>> services_;
  std::unordered_map<Place, Found, PlaceHash> keys_;
  std::unordered_map<Place, Owner, PlaceHash> endpoints_;
  std::vector<std::pair<Place, uint32_t>> dropped_;
};

template <typename Take>
void Services::TakeDropped(Take take) {
  for (const auto& [place, cell] : std::exchange(dropped_, {})) {
    uint32_t now;
    if (!CellOf(place, &now) || now != cell) take(cell);
  }
}

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_SERVICES_H_
