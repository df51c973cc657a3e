"""Teachers: files are found and checked (`files`), loaded (`load`), and give logits (`teacher`, `logits_file`)."""
