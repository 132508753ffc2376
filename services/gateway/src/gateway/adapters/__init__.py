"""What reaches outside: model servers over gRPC, the artefact store, the file of keys."""
