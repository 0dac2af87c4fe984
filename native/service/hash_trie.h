// A map from 64-bit numbers to shared values whose copies share what they have in common: a copy costs nothing, and a
// change of one key in it only the few nodes on the way to that key. Readers need no lock as long as they hold their copy.
// The keys should be spread over their low bits, as hashes and dense numbers are.
#ifndef PENSTOCK_ENGINE_HASH_TRIE_H_
#define PENSTOCK_ENGINE_HASH_TRIE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace penstock::engine {

// Who changes a map. Nodes that one editor has made are its own until it is done, and are changed in place: many changes
// at once cost as much as in a map that is not shared. Each editor needs a number that no other has had.
using Editor = uint64_t;

template <typename Value>
class HashTrie {
 public:
  using Pointer = std::shared_ptr<const Value>;

  // nullptr when there is none. Valid as long as this copy of the map is.
  const Pointer* Find(uint64_t key) const {
    uint64_t rest = key;
    for (const Node* node = root_.get(); node != nullptr; rest >>= kBits) {
      const uint64_t bit = BitOf(rest);
      if ((node->used & bit) == 0) return nullptr;
      const Slot& slot = node->slots[IndexOf(node->used, bit)];
      if (slot.below == nullptr) return slot.key == key ? &slot.value : nullptr;
      node = slot.below.get();
    }
    return nullptr;
  }

  void Set(Editor editor, uint64_t key, Pointer value) { SetIn(editor, &root_, key, 0, std::move(value)); }

  void Remove(Editor editor, uint64_t key) {
    if (Find(key) != nullptr) RemoveIn(editor, &root_, key, key);
  }

 private:
  static constexpr unsigned kBits = 6;

  struct Node;
  using NodePointer = std::shared_ptr<Node>;

  struct Slot {
    uint64_t key = 0;
    Pointer value;      // or:
    NodePointer below;  // all keys that agree in the bits so far
  };

  struct Node {
    Editor editor = 0;
    uint64_t used = 0;  // a bit for each slot
    std::vector<Slot> slots;
  };

  static uint64_t BitOf(uint64_t rest) { return uint64_t{1} << (rest & ((1u << kBits) - 1)); }
  static size_t IndexOf(uint64_t used, uint64_t bit) {
    return static_cast<size_t>(__builtin_popcountll(used & (bit - 1)));
  }

  // The node, as one that this editor may change.
  static Node* Own(Editor editor, NodePointer* node) {
    if (*node == nullptr) *node = std::make_shared<Node>();
    else if ((*node)->editor != editor) *node = std::make_shared<Node>(**node);
    (*node)->editor = editor;
    return node->get();
  }

  // `shift`: how many bits of the key are used up.
  static void SetIn(Editor editor, NodePointer* place, uint64_t key, unsigned shift, Pointer value) {
    Node* node = Own(editor, place);
    const uint64_t bit = BitOf(key >> shift);
    const size_t index = IndexOf(node->used, bit);
    if ((node->used & bit) == 0) {
      node->slots.insert(node->slots.begin() + static_cast<std::ptrdiff_t>(index), {key, std::move(value), nullptr});
      node->used |= bit;
      return;
    }
    Slot& slot = node->slots[index];
    if (slot.below == nullptr) {
      if (slot.key == key) {
        slot.value = std::move(value);
        return;
      }
      // Two different keys differ in some bit further up.
      NodePointer below;
      SetIn(editor, &below, slot.key, shift + kBits, std::move(slot.value));
      slot = {0, nullptr, std::move(below)};
    }
    SetIn(editor, &slot.below, key, shift + kBits, std::move(value));
  }

  // The key is there. A node that is left with a single value makes way for it, so that the shape follows from the keys.
  static void RemoveIn(Editor editor, NodePointer* place, uint64_t key, uint64_t rest) {
    Node* node = Own(editor, place);
    const uint64_t bit = BitOf(rest);
    const size_t index = IndexOf(node->used, bit);
    Slot& slot = node->slots[index];
    if (slot.below == nullptr) {
      node->slots.erase(node->slots.begin() + static_cast<std::ptrdiff_t>(index));
      node->used &= ~bit;
      if (node->slots.empty()) place->reset();
      return;
    }
    RemoveIn(editor, &slot.below, key, rest >> kBits);
    if (slot.below->slots.size() != 1 || slot.below->slots[0].below != nullptr) return;
    Slot last = std::move(slot.below->slots[0]);
    slot = std::move(last);
  }

  NodePointer root_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_HASH_TRIE_H_
