"""Backbones for grey pictures and volumes."""
