"""Programs to read and to run: python -m vqindex.examples.wordnet"""
