"""What a run keeps on disk.

file_store    caption files of a run, many to a sync
atomic_files  writes, syncs and renames, so that a file is complete or absent
whole_file    one file, complete or absent
refused_files what was downloaded and is no caption
batcher       work that is cheaper by the batch
ledger/       the checkpoint of a run, in SQLite
"""
