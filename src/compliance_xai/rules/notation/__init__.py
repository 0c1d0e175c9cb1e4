"""The LRML short form: trees, strict and tolerant readers, amounts with units."""
