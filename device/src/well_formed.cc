// The schemas as tables, so that one piece of code verifies every field: far smaller than FlatBuffers' generated
// verifiers, and it does not recurse.

#include "src/well_formed.h"

#include "src/schema.h"

namespace reds {
namespace {

enum class Kind : uint8_t { kNumber, kString, kVector, kTable, kTables };

// Tables that no other table is in.
enum Leaf : uint8_t { kOpaque, kBuffer, kMetadata, kPort, kExit, kSubnetwork, kTarget };

struct Field {
  uint8_t slot;  // where the table's own table of offsets has it
  Kind kind;
  uint8_t detail;  // bytes of a number or of an element of a vector; which Leaf
};

struct Layout {
  const Field* begin;
  const Field* end;
};

template <size_t kCount>
constexpr Layout LayoutOf(const Field (&fields)[kCount]) {
  return {fields, fields + kCount};
}

constexpr Field kBufferFields[] = {{tflite::Buffer::VT_DATA, Kind::kVector, sizeof(uint8_t)}};
constexpr Field kMetadataFields[] = {
    {tflite::Metadata::VT_NAME, Kind::kString, 0},
    {tflite::Metadata::VT_BUFFER, Kind::kNumber, sizeof(uint32_t)},
};
constexpr Field kModelFields[] = {
    {tflite::Model::VT_VERSION, Kind::kNumber, sizeof(uint32_t)},
    {tflite::Model::VT_OPERATOR_CODES, Kind::kTables, kOpaque},
    {tflite::Model::VT_SUBGRAPHS, Kind::kTables, kOpaque},
    {tflite::Model::VT_DESCRIPTION, Kind::kString, 0},
    {tflite::Model::VT_BUFFERS, Kind::kTables, kBuffer},
    {tflite::Model::VT_METADATA_BUFFER, Kind::kVector, sizeof(int32_t)},
    {tflite::Model::VT_METADATA, Kind::kTables, kMetadata},
};
constexpr Field kPortFields[] = {
    {schema::Port::VT_SHAPE, Kind::kVector, sizeof(uint32_t)},
    {schema::Port::VT_OFFSET, Kind::kNumber, sizeof(uint32_t)},
    {schema::Port::VT_BYTES, Kind::kNumber, sizeof(uint32_t)},
    {schema::Port::VT_SCALE, Kind::kNumber, sizeof(float)},
    {schema::Port::VT_ZERO_POINT, Kind::kNumber, sizeof(int32_t)},
    {schema::Port::VT_TYPE, Kind::kNumber, sizeof(uint8_t)},
};
constexpr Field kExitFields[] = {
    {schema::Exit::VT_NAME, Kind::kString, 0},
    {schema::Exit::VT_TAP, Kind::kNumber, sizeof(uint16_t)},
    {schema::Exit::VT_SUBGRAPH, Kind::kNumber, sizeof(uint16_t)},
    {schema::Exit::VT_THRESHOLD, Kind::kNumber, sizeof(float)},
};
constexpr Field kSubnetworkFields[] = {
    {schema::Subnetwork::VT_NAME, Kind::kString, 0},
    {schema::Subnetwork::VT_EXIT, Kind::kNumber, sizeof(uint16_t)},
    {schema::Subnetwork::VT_WIDTHS, Kind::kVector, sizeof(uint16_t)},
    {schema::Subnetwork::VT_STEPS, Kind::kVector, sizeof(schema::Step)},
    {schema::Subnetwork::VT_TENSORS, Kind::kVector, sizeof(schema::Tensor)},
    {schema::Subnetwork::VT_MACS, Kind::kNumber, sizeof(uint32_t)},
    {schema::Subnetwork::VT_PARAMETERS, Kind::kNumber, sizeof(uint32_t)},
    {schema::Subnetwork::VT_FLASH_BYTES, Kind::kNumber, sizeof(uint32_t)},
    {schema::Subnetwork::VT_ARENA_BYTES, Kind::kNumber, sizeof(uint32_t)},
    {schema::Subnetwork::VT_ACCURACY, Kind::kNumber, sizeof(float)},
    {schema::Subnetwork::VT_THRESHOLD, Kind::kNumber, sizeof(float)},
};
constexpr Field kTargetFields[] = {
    {schema::Target::VT_NAME, Kind::kString, 0},
    {schema::Target::VT_MEASURED, Kind::kNumber, sizeof(uint8_t)},
    {schema::Target::VT_INSTRUCTIONS, Kind::kVector, sizeof(uint32_t)},
};
constexpr Field kPlanFields[] = {
    {schema::Plan::VT_FORMAT_MAJOR, Kind::kNumber, sizeof(uint16_t)},
    {schema::Plan::VT_CRC32, Kind::kNumber, sizeof(uint32_t)},
    {schema::Plan::VT_FORMAT_MINOR, Kind::kNumber, sizeof(uint16_t)},
    {schema::Plan::VT_LIBRARY, Kind::kString, 0},
    {schema::Plan::VT_ELEMENT_TYPE, Kind::kNumber, sizeof(uint8_t)},
    {schema::Plan::VT_INPUT, Kind::kTable, kPort},
    {schema::Plan::VT_OUTPUT, Kind::kTable, kPort},
    {schema::Plan::VT_LAYERS, Kind::kVector, sizeof(schema::Layer)},
    {schema::Plan::VT_EXITS, Kind::kTables, kExit},
    {schema::Plan::VT_SUBNETWORKS, Kind::kTables, kSubnetwork},
    {schema::Plan::VT_RANKING, Kind::kVector, sizeof(schema::Rank)},
    {schema::Plan::VT_CONSTANTS, Kind::kVector, sizeof(uint32_t)},
    {schema::Plan::VT_TARGETS, Kind::kTables, kTarget},
};
constexpr size_t kPreambleFields = 2;  // of the plan's, the first ones here

// Indexed by Leaf.
constexpr Layout kLeaves[] = {
    {nullptr, nullptr},    LayoutOf(kBufferFields),     LayoutOf(kMetadataFields), LayoutOf(kPortFields),
    LayoutOf(kExitFields), LayoutOf(kSubnetworkFields), LayoutOf(kTargetFields),
};

// Indexed by Root.
constexpr Layout kRoots[] = {
    LayoutOf(kModelFields),
    LayoutOf(kPlanFields),
    {kPlanFields, kPlanFields + kPreambleFields},
};

constexpr size_t kHeaderBytes = sizeof(uint32_t) + flatbuffers::kFileIdentifierLength;

bool HasIdentifier(const Bytes& bytes, const char* identifier) {
  if (bytes.size < kHeaderBytes) return false;
  for (size_t index = 0; index < flatbuffers::kFileIdentifierLength; ++index) {
    if (bytes.data[sizeof(uint32_t) + index] != static_cast<uint8_t>(identifier[index])) return false;
  }
  return true;
}

// A flatbuffer while it is verified. Positions and sizes are below 2^31, so that the sum of two does not wrap.
class Flatbuffer {
 public:
  explicit Flatbuffer(const Bytes& bytes) : data_(bytes.data), size_(static_cast<uint32_t>(bytes.size)) {}

  bool RootHolds(const Layout& layout) const {
    const uint32_t root = Target(0);
    if (!TableHolds(root, layout)) return false;
    for (const Field* field = layout.begin; field != layout.end; ++field) {
      if (!TablesHold(root, *field)) return false;
    }
    return true;
  }

 private:
  template <typename Number>
  Number Read(uint32_t position) const {
    return flatbuffers::ReadScalar<Number>(data_ + position);
  }

  bool Has(uint32_t position, uint32_t bytes) const { return position <= size_ && bytes <= size_ - position; }

  bool HasNumber(uint32_t position, uint32_t bytes) const {
    return (position & (bytes - 1)) == 0 && Has(position, bytes);
  }

  // Where the offset at a position leads to; 0, where nothing can be, if that is not inside.
  uint32_t Target(uint32_t position) const {
    if (!HasNumber(position, sizeof(uint32_t))) return 0;
    const uint32_t offset = Read<uint32_t>(position);
    return offset != 0 && offset < size_ - position ? position + offset : 0;
  }

  // Where a table has a field; 0 where it has not. The table's start holds.
  uint32_t Place(uint32_t table, uint32_t slot) const {
    const uint32_t slots = table - Read<uint32_t>(table);
    if (slot >= Read<uint16_t>(slots)) return 0;
    const uint32_t offset = Read<uint16_t>(slots + slot);
    return offset == 0 ? 0 : table + offset;
  }

  bool StartHolds(uint32_t table) const {
    if (table == 0 || !HasNumber(table, sizeof(uint32_t))) return false;
    const uint32_t slots = table - Read<uint32_t>(table);
    if (!HasNumber(slots, sizeof(uint16_t))) return false;
    const uint32_t bytes = Read<uint16_t>(slots);
    return bytes % sizeof(uint16_t) == 0 && Has(slots, bytes);
  }

  // `place` is that of the vector's size. A string has a zero behind its end.
  bool VectorHolds(uint32_t place, uint32_t element_bytes, bool is_string) const {
    if (place == 0 || !HasNumber(place, sizeof(uint32_t))) return false;
    const uint32_t begin = place + static_cast<uint32_t>(sizeof(uint32_t));
    const uint64_t bytes = uint64_t{Read<uint32_t>(place)} * element_bytes + is_string;
    if (bytes > size_ - begin) return false;
    return !is_string || data_[begin + bytes - 1] == 0;
  }

  bool FieldHolds(uint32_t table, const Field& field) const {
    const uint32_t place = Place(table, field.slot);
    if (place == 0) return true;
    switch (field.kind) {
      case Kind::kNumber:
        return HasNumber(place, field.detail);
      case Kind::kString:
        return VectorHolds(Target(place), sizeof(char), true);
      case Kind::kVector:
        return VectorHolds(Target(place), field.detail, false);
      case Kind::kTable:
        return Target(place) != 0;
      case Kind::kTables:
        break;
    }
    return VectorHolds(Target(place), sizeof(uint32_t), false);
  }

  // All but the tables in it.
  bool TableHolds(uint32_t table, const Layout& layout) const {
    if (!StartHolds(table)) return false;
    for (const Field* field = layout.begin; field != layout.end; ++field) {
      if (!FieldHolds(table, *field)) return false;
    }
    return true;
  }

  // The tables that a field of the root, which holds, leads to.
  bool TablesHold(uint32_t root, const Field& field) const {
    const uint32_t place = Place(root, field.slot);
    if (place == 0 || field.kind < Kind::kTable) return true;
    if (field.kind == Kind::kTable) return TableHolds(Target(place), kLeaves[field.detail]);
    const uint32_t vector = Target(place);
    uint32_t element = vector;
    for (uint32_t left = Read<uint32_t>(vector); left > 0; --left) {
      element += static_cast<uint32_t>(sizeof(uint32_t));
      if (!TableHolds(Target(element), kLeaves[field.detail])) return false;
    }
    return true;
  }

  const uint8_t* data_;
  uint32_t size_;
};

}  // namespace

bool IsWellFormed(const Bytes& bytes, const char* identifier, Root root) {
  return bytes.size <= INT32_MAX && HasIdentifier(bytes, identifier) &&
         Flatbuffer(bytes).RootHolds(kRoots[static_cast<size_t>(root)]);
}

}  // namespace reds
